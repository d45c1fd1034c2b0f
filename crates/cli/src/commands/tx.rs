//! `tx put`: a transaction for a node that makes blocks.

use anabranch::config::Config;
use anabranch::status::Submitted;
use anabranch_cli::transaction::{self, Transaction};
use rand::TryRng;
use rand::rngs::SysRng;

use crate::args::Tx;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{remote, settings};

pub(super) async fn run(tx: &Tx, config: &Config, output: Output) -> Result<(), Failure> {
    let Tx::Put { key, value, .. } = tx;
    for (what, text) in [("key", key), ("value", value)] {
        if text.len() > transaction::MAX_TEXT_BYTES {
            let message = format!("the {what} has {} bytes, {} fit", text.len(), transaction::MAX_TEXT_BYTES);
            return Err(Failure::new(Kind::Failed, message));
        }
    }
    // The same put twice is wanted twice.
    let salt = Some(SysRng.try_next_u64().map_err(|error| Failure::new(Kind::Failed, error))?);
    let put = Transaction::Put { key: key.clone(), value: value.clone(), salt };
    let bytes = put.encode().into();
    let submitted: Submitted = remote::post(&settings::admin(config)?, "/tx", bytes).await?;
    output.line(&submitted, || format!("taken: {}", submitted.id))?;
    Ok(())
}
