//! Replays one input: `cargo run -p fuzz -- TARGET HEX`, or `TARGET @FILE` for what cargo-fuzz kept.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, input] = arguments.as_slice() else {
        eprintln!("give a target and its input, as hexadecimal digits or @FILE; the targets are:");
        for target in fuzz::TARGETS {
            eprintln!("  {}", target.name);
        }
        std::process::exit(2);
    };
    let bytes = match input.strip_prefix('@') {
        Some(file) => std::fs::read(file).expect("the file can be read"),
        None => hex::decode(input).expect("hexadecimal digits"),
    };
    (fuzz::target(name).run)(&bytes);
    println!("{name}: {} bytes, no complaint", bytes.len());
}
