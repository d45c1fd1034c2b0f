//! `tx put`: a transaction for a node that makes blocks.

use anabranch::config::Config;
use anabranch::status::Submitted;

use crate::args::Tx;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{remote, settings, transaction};

pub(super) async fn run(tx: &Tx, config: &Config, output: Output) -> Result<(), Failure> {
    let Tx::Put { key, value, .. } = tx;
    for (what, text) in [("key", key), ("value", value)] {
        if text.len() > transaction::MAX_TEXT_BYTES {
            let message = format!("the {what} has {} bytes, {} fit", text.len(), transaction::MAX_TEXT_BYTES);
            return Err(Failure::new(Kind::Failed, message));
        }
    }
    let bytes = transaction::put(key, value).into();
    let submitted: Submitted = remote::post(&settings::admin(config)?, "/tx", bytes).await?;
    output.line(&submitted, || format!("taken: {}", submitted.id))?;
    Ok(())
}
