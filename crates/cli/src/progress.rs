//! Progress bars for long work: on standard error, only where a person looks at it.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// A bar over bytes that says how many of `what` are done; silent where standard error is no terminal.
pub(crate) fn bar(what: &str, json: bool) -> ProgressBar {
    let target = if json || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let template = "{bar:32} {percent:>3} %  {msg} {prefix}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}

/// Tells the bar how far the work is.
pub(crate) fn show(bar: &ProgressBar, items: u64, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
    bar.set_message(items.to_string());
}
