//! `tx`: a transaction for a node that takes part in a chain.

mod validators;

use anabranch::config::Config;
use anabranch::status::Submitted;
use anabranch_cli::transaction::Transaction;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::args::Tx;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{remote, settings};

pub(super) async fn run(tx: &Tx, config: &Config, output: Output) -> Result<(), Failure> {
    // The same put twice is wanted twice.
    let salt = || SysRng.try_next_u64().map(Some).map_err(|error| Failure::new(Kind::Failed, error));
    let transaction = match tx {
        Tx::Put { key, value, .. } => {
            Transaction::Put { key: key.clone(), value: value.clone(), salt: salt()? }
        }
        Tx::Delete { key, .. } => Transaction::Delete { key: key.clone(), salt: salt()? },
        Tx::Validators(command) => return validators::run(command, config, output).await,
    };
    send(&transaction, config, output).await
}

/// Hands a transaction to the node.
async fn send(transaction: &Transaction, config: &Config, output: Output) -> Result<(), Failure> {
    transaction.check_size().map_err(|invalid| {
        // Said of the key or the value, as the user knows them.
        Failure::new(Kind::Failed, invalid.to_string().replacen("its", "the", 1))
    })?;
    let bytes = transaction.encode().into();
    let submitted: Submitted = remote::post(&settings::admin(config)?, "/tx", bytes).await?;
    output.line(&submitted, || format!("taken: {}", submitted.id))?;
    Ok(())
}
