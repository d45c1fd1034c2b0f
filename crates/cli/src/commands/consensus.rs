//! `consensus status`: where the validators stand, and why they get no further.

use std::fmt::Write;

use anabranch::config::Config;
use anabranch::status::Consensus;

use crate::exit::Failure;
use crate::output::Output;
use crate::table::Table;
use crate::{remote, settings};

pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let status: Consensus = remote::get(&settings::admin(config)?, "/consensus").await?;
    output.line(&status, || text(&status))?;
    Ok(())
}

fn text(status: &Consensus) -> String {
    let mut text = match status.height {
        Some(height) => format!("deciding height {height}, round {}\n", status.round),
        None => "deciding nothing\n".to_owned(),
    };
    let _ = writeln!(text, "waiting       {}", status.waiting);
    if let Some(proposer) = &status.proposer {
        let _ = writeln!(text, "proposer      {proposer}");
    }
    if status.weight > 0 {
        let Consensus { prevotes, precommits, weight, .. } = status;
        let _ = writeln!(text, "first votes   of weight {prevotes} of {weight}");
        let _ = writeln!(text, "second votes  of weight {precommits} of {weight}");
    }
    let certified = &status.certified;
    let _ = writeln!(text, "certified     {} at height {}", certified.point, certified.height);
    for block in &status.blacklist {
        let _ = writeln!(text, "given up      {block}");
    }
    if !status.evidence.is_empty() {
        let mut table = Table::new(["signed two", "height", "round", "validator"]);
        for lie in &status.evidence {
            table.row([lie.of.clone(), lie.height.to_string(), lie.round.to_string(), lie.validator.clone()]);
        }
        text.push_str(&table.text());
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use anabranch::status::{Evidence, Tip};

    use super::*;

    #[test]
    fn says_where_the_validators_stand_and_who_lied() {
        let nothing = Consensus { waiting: "the chain is being read".into(), ..Consensus::default() };
        let expected = "deciding nothing\nwaiting       the chain is being read\ncertified      at height 0";
        assert_eq!(text(&nothing), expected);
        let of = "votes".into();
        let status = Consensus {
            height: Some(7),
            round: 2,
            proposer: Some("ab".into()),
            prevotes: 3,
            precommits: 1,
            weight: 4,
            waiting: "too few validators have given their second vote".into(),
            certified: Tip { point: "9.ef".into(), height: 6 },
            blacklist: vec!["12".into()],
            evidence: vec![Evidence { validator: "cd".into(), height: 6, round: 0, of }],
        };
        let expected = "deciding height 7, round 2\n\
            waiting       too few validators have given their second vote\n\
            proposer      ab\n\
            first votes   of weight 3 of 4\n\
            second votes  of weight 1 of 4\n\
            certified     9.ef at height 6\n\
            given up      12\n\
            signed two  height  round  validator\n\
            votes       6       0      cd";
        assert_eq!(text(&status), expected);
    }
}
