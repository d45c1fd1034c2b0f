//! `block blacklist`: giving a block up that is never judged; `block allow` takes that back.

use anabranch::config::Config;
use anabranch::status::{BlockOrder, Done};

use crate::args::Block;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::{remote, settings};

pub(super) async fn run(command: &Block, config: &Config, output: Output) -> Result<(), Failure> {
    let (id, path) = match command {
        Block::Blacklist { id, .. } => (id, "/blocks/blacklist"),
        Block::Allow { id, .. } => (id, "/blocks/allow"),
    };
    let order = BlockOrder { block: id.to_string() };
    let body = serde_json::to_vec(&order).map_err(|error| Failure::new(Kind::Failed, error))?;
    let answer: Done = remote::post(&settings::admin(config)?, path, body.into()).await?;
    output.line(&answer, || answer.done.clone())?;
    Ok(())
}
