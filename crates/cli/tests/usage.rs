//! What the program says to wrong input: a clear message with what to do, and a stable exit code.

mod common;

use common::{anabranch, finish, run, text};

#[test]
fn a_wrong_command_line_exits_with_2() {
    run(&["rnu"]).expect_code(2);
    run(&["run", "--downstream", "not-an-address"]).expect_code(2);
    run(&["follow", "127.0.0.1:1", "--network", "preview", "--from", "nowhere"]).expect_code(2);
}

#[test]
fn an_unknown_network_says_which_are_known() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["run", "--network", "previw", "--data-dir", text(dir.path()), "--downstream", "127.0.0.1:0"];
    run(&args).expect_code(3).expect_stderr("mainnet, preprod, preview");
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0, "nothing was made");
}

#[test]
fn a_corrupt_configuration_says_where() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("anabranch.toml");
    for (toml, part) in [
        ("network = 'preview'\n[downstream\n", "line 2"),
        ("netwrok = 'preview'\n", "netwrok"),
        ("[downstream]\nmax_clients = 0\n", "max_clients"),
        ("[upstream]\naddresses = ['relay']\n", "HOST:PORT"),
        ("[admin]\nlisten = '0.0.0.0:80'\n", "loopback"),
    ] {
        std::fs::write(&file, toml).expect("written");
        let checked = run(&["config", "check", "--config", text(&file)]);
        checked.expect_code(3).expect_stderr(part);
    }
    run(&["config", "check", "--config", text(&dir.path().join("absent.toml"))]).expect_code(3);
}

#[test]
fn flags_go_over_environment_over_file_over_defaults() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("anabranch.toml");
    std::fs::write(&file, "network = 'preprod'\ndata_dir = '/from/file'\n[log]\nfilter = 'warn'\n")
        .expect("written");
    let mut command =
        anabranch(&["config", "show", "--json", "--config", text(&file), "--network", "preview"]);
    command.env("ANABRANCH_NETWORK", "mainnet").env("ANABRANCH_DATA_DIR", "/from/environment");
    let shown = finish(command).expect_code(0).json();
    assert_eq!(shown["network"], "preview", "flag over environment");
    assert_eq!(shown["data_dir"], "/from/environment", "environment over file");
    assert_eq!(shown["log"]["filter"], "warn", "file over default");
    assert_eq!(shown["downstream"]["max_clients"], 16_384, "default");
}

#[test]
fn what_config_show_prints_is_a_configuration_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("anabranch.toml");
    let shown = run(&["config", "show", "--network", "preview"]).expect_code(0);
    std::fs::write(&file, &shown.stdout).expect("written");
    let again = run(&["config", "show", "--config", text(&file)]).expect_code(0);
    assert_eq!(again.stdout, shown.stdout);
}

#[test]
fn asking_a_node_that_does_not_run_says_how_to_start_one() {
    let dir = tempfile::tempdir().expect("a directory");
    for command in ["status", "clients"] {
        run(&[command, "--data-dir", text(dir.path())]).expect_code(7).expect_stderr("anabranch run");
    }
    run(&["tx", "put", "k", "v", "--data-dir", text(dir.path())]).expect_code(7);
}

#[test]
fn errors_are_json_where_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let failed = run(&["status", "--json", "--data-dir", text(dir.path())]).expect_code(7);
    let error: serde_json::Value = serde_json::from_str(&failed.stderr).expect("an object");
    assert_eq!(error["kind"], "not_running");
    assert_eq!(error["code"], 7);
    assert!(error["hint"].is_string());
}

#[test]
fn prints_completions_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(&["completions", shell]).expect_code(0);
        assert!(printed.stdout.contains("anabranch"));
    }
}
