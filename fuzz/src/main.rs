//! Replays one input, `cargo run -p fuzz -- TARGET HEX` (or `@FILE`, for what cargo-fuzz kept), or writes a target's seeds
//! for cargo-fuzz to begin with, `cargo run -p fuzz -- TARGET seeds FOLDER`.

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [name, "seeds", folder] => write_seeds(fuzz::target(name), Path::new(folder)),
        [name, input] => replay(fuzz::target(name), input),
        _ => {
            eprintln!("give a target and its input, as hexadecimal digits or @FILE; the targets are:");
            fuzz::TARGETS.iter().for_each(|target| eprintln!("  {}", target.name));
            std::process::exit(2);
        }
    }
}

fn replay(target: &fuzz::Target, input: &str) {
    let bytes = match input.strip_prefix('@') {
        Some(file) => std::fs::read(file).expect("the file can be read"),
        None => hex::decode(input).expect("hexadecimal digits"),
    };
    (target.run)(&bytes);
    println!("{}: {} bytes, no complaint", target.name, bytes.len());
}

fn write_seeds(target: &fuzz::Target, folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    for (at, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{at}")), seed).expect("the seed can be written");
    }
}
