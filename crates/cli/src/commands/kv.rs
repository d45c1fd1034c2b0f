//! `kv get` and `kv validators`: what the application of a running node has, and what shows it.

use std::fmt::Write;
use std::time::Duration;

use anabranch::chain::Hash;
use anabranch::chain::native::{Certificate, Fields, Params, decode_header, read_fields};
use anabranch::chain::{Format, Header, Height, Tip};
use anabranch::config::{AdminAddress, Config};
use anabranch::network_id::NetworkId;
use anabranch::status::{Certified, CertifiedChanges};
use anabranch_cli::kv::{Answer, Electorate, Found, Question};
use anabranch_cli::trust::Trust;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use crate::args::{Get, Kv};
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::table::Table;
use crate::{remote, settings};

/// How long a header is waited for that names a state which the application has: more than an idle chain's pause between
/// blocks by default.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the node is asked meanwhile. A guess: a person does not notice, and the node neither.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// What `get` prints.
#[derive(Debug, Serialize)]
struct Got<'a> {
    key: &'a str,
    value: Option<&'a str>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proven>,
}

/// The state that was read: the one after this block.
#[derive(Debug, Serialize)]
struct State {
    height: u64,
    /// `origin` before the first block.
    point: String,
    root: String,
}

/// A proof that holds.
#[derive(Debug, Serialize)]
struct Proven {
    /// `inclusion` or `absence`.
    of: &'static str,
    /// The proof, in hexadecimal digits.
    bytes: String,
    /// The header that names the state's root.
    header: Headed,
    /// `verified`: by a certificate of the validators that certified changes lead to from the genesis; else why that was not looked at.
    certificate: &'static str,
}

/// A header.
#[derive(Debug, Serialize)]
struct Headed {
    height: u64,
    point: String,
}

/// A header that the node says is irreversible.
struct Shown {
    header: Header,
    fields: Fields,
    certificate: &'static str,
}

const VERIFIED: &str = "verified";

pub(super) async fn run(command: &Kv, config: &Config, output: Output) -> Result<(), Failure> {
    let admin = settings::admin(config)?;
    match command {
        Kv::Get(Get { key, proof: false, .. }) => {
            let Some(found) = found(&admin, key, None).await? else { return Err(strange()) };
            print(key, &found, None, output)
        }
        Kv::Get(Get { key, proof: true, .. }) => {
            let (found, shown) = proven(&admin, config, key).await?;
            print(key, &found, Some(&shown), output)
        }
        Kv::Validators(_) => {
            let electorate = electorate(&admin).await?;
            output.line(&Listed::new(&electorate), || text(&electorate))?;
            Ok(())
        }
    }
}

/// The validators that a node's application asks for.
///
/// # Errors
/// When it does not say.
pub(super) async fn electorate(admin: &AdminAddress) -> Result<Electorate, Failure> {
    match ask(admin, &Question::Validators).await? {
        Answer::Validators(electorate) => Ok(electorate),
        Answer::Found(_) | Answer::Gone { .. } => Err(strange()),
    }
}

/// What a key has in a state; `None` where that state cannot be read.
async fn found(admin: &AdminAddress, key: &str, height: Option<Height>) -> Result<Option<Found>, Failure> {
    match ask(admin, &Question::Get { key: key.to_owned(), height }).await? {
        Answer::Found(found) => Ok(Some(found)),
        Answer::Gone { .. } => Ok(None),
        Answer::Validators(_) => Err(strange()),
    }
}

/// What a key has in a state that an irreversible header names, and that header; the two have been compared.
async fn proven(admin: &AdminAddress, config: &Config, key: &str) -> Result<(Found, Shown), Failure> {
    let mut trust = genesis(config).and_then(|params| Trust::genesis(&params));
    let deadline = Instant::now() + HEADER_TIMEOUT;
    let mut pause = tokio::time::interval(ASK_EVERY);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        pause.tick().await;
        let shown = shown(admin, trust.as_mut()).await?;
        // The first blocks name no state, nor do those that the application was too slow for.
        let Some(state) = shown.fields.state else { continue };
        // After a start the application has its newest state alone; the next headers name it.
        let Some(found) = found(admin, key, Some(state.height)).await? else { continue };
        if !found.is_shown_by(&shown.fields, key) {
            let message = format!(
                "what the node says of `{key}` is not what the header of its block {} names",
                shown.header.height
            );
            return Err(Failure::new(Kind::Security, message).hint("do not believe it; ask another node"));
        }
        return Ok((found, shown));
    }
    let message = "no irreversible header names a state that the application still has";
    Err(Failure::new(Kind::Failed, message)
        .hint("wait for the next blocks, or put a transaction in; see `status`"))
}

/// The newest irreversible header, its certificate checked where the genesis is at hand.
async fn shown(admin: &AdminAddress, mut trust: Option<&mut Trust>) -> Result<Shown, Failure> {
    let certified: Certified = remote::get(admin, "/certified").await?;
    let bytes = |text: &str| hex::decode(text).map_err(|_| strange());
    let header = decode_header(&bytes(&certified.header)?.into()).map_err(|_| strange())?;
    let fields = read_fields(&header).map_err(|_| strange())?;
    let certificate = Certificate::decode(&bytes(&certified.certificate)?).map_err(|_| strange())?;
    if let Some(trust) = trust.as_deref_mut()
        && !trust.knows(&fields)
    {
        follow_changes(admin, trust).await?;
    }
    let certificate = judged(&header, &fields, &certificate, trust.as_deref())?;
    Ok(Shown { header, fields, certificate })
}

/// Has the node show the changes of validators since the last that it showed, and checks each.
async fn follow_changes(admin: &AdminAddress, trust: &mut Trust) -> Result<(), Failure> {
    loop {
        let path = format!("/certified/changes/{}", trust.next());
        let page: CertifiedChanges = remote::get(admin, &path).await?;
        let more = page.more;
        trust.follow(&page).map_err(|error| lie(format!("a change of validators is not shown: {error}")))?;
        if !more {
            return Ok(());
        }
    }
}

/// Whether a header is certified by the validators that certified changes lead to from the genesis, or why that cannot be
/// told.
fn judged(
    header: &Header,
    fields: &Fields,
    certificate: &Certificate,
    trust: Option<&Trust>,
) -> Result<&'static str, Failure> {
    if (certificate.block(), certificate.height()) != (header.id, header.height) {
        return Err(lie("the node's certificate is another block's".into()));
    }
    let Some(trust) = trust else { return Ok("not checked: no genesis is at hand, give --network FILE") };
    if fields.chain != trust.chain() {
        return Err(lie("the node's chain is another than the genesis'".into()));
    }
    if !trust.knows(fields) {
        return Ok("not checked: the node does not show each change of validators, see `db verify`");
    }
    let checked = trust.verify(certificate);
    checked.map_err(|error| lie(format!("the node's certificate shows nothing: {error}")))?;
    Ok(VERIFIED)
}

fn lie(what: String) -> Failure {
    Failure::new(Kind::Security, what).hint("do not believe this node; ask another")
}

/// The genesis, where the configuration leads to it.
fn genesis(config: &Config) -> Option<Params> {
    let network = NetworkId::find(&settings::network(config).ok()?).ok()?;
    match network.format {
        Format::Native(params) => Some((*params).clone()),
        Format::Cardano(_) => None,
    }
}

async fn ask(admin: &AdminAddress, question: &Question) -> Result<Answer, Failure> {
    let answer = remote::exchange_bytes(admin, "/query", question.encode().into()).await?;
    Answer::decode(&answer).map_err(|_| strange())
}

fn strange() -> Failure {
    Failure::new(Kind::Failed, "the node's answer is none of `kv`")
        .hint("its application or its version is another")
}

fn print(key: &str, found: &Found, shown: Option<&Shown>, output: Output) -> Result<(), Failure> {
    let point = |tip: &Tip| tip.point.to_string();
    let proof = shown.map(|shown| Proven {
        of: if found.value.is_some() { "inclusion" } else { "absence" },
        bytes: hex::encode(found.proof.encode()),
        header: Headed { height: shown.header.height.0, point: point(&shown.header.tip()) },
        certificate: shown.certificate,
    });
    let state = State { height: found.tip.height.0, point: point(&found.tip), root: found.root.to_string() };
    let got = Got { key, value: found.value.as_deref(), state, proof };
    output.line(&got, || got.text())?;
    Ok(())
}

impl Got<'_> {
    fn text(&self) -> String {
        let mut text = match self.value {
            Some(value) => format!("{value}\n"),
            None => format!("`{}` has no value\n", self.key),
        };
        let State { height, point, root } = &self.state;
        let _ = writeln!(text, "state        after {point} at height {height}, root {root}");
        if let Some(Proven { of, header, certificate, .. }) = &self.proof {
            let Headed { height, point } = header;
            let _ = writeln!(
                text,
                "proof        verified: {of}, in the state that the header at height {height} names"
            );
            let _ = writeln!(text, "header       {point}");
            let _ = writeln!(text, "certificate  {certificate}");
        }
        text.trim_end().to_owned()
    }
}

/// What `validators` prints.
#[derive(Debug, Serialize)]
struct Listed {
    changes: u64,
    validators: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Member {
    key: String,
    weight: u64,
}

impl Listed {
    fn new(electorate: &Electorate) -> Self {
        let members = electorate.validators.members().iter();
        let member = |it: &anabranch::chain::native::Validator| Member {
            key: Hash(it.key).to_string(),
            weight: it.weight.get(),
        };
        Self { changes: electorate.sequence, validators: members.map(member).collect() }
    }
}

fn text(electorate: &Electorate) -> String {
    let mut table = Table::new(["validator", "weight"]);
    for Member { key, weight } in Listed::new(electorate).validators {
        table.row([key, weight.to_string()]);
    }
    format!("{}changes so far: {}", table.text(), electorate.sequence)
}

#[cfg(test)]
mod tests {
    use anabranch::chain::Slot;
    use anabranch::chain::native::ballot::{self, Vote};
    use anabranch::chain::native::{self, Builder, Faults, Key};

    use super::*;

    fn scene() -> (Params, Key, Header, Fields) {
        let key = Key::from_seed(&[1; 32]);
        let params = Params::solo("kv", 7, 0, key.public());
        let block =
            Builder::start(&params, &Tip::default(), &native::State::genesis(&params), Slot(1)).finish(&key);
        let fields = read_fields(&block.header).expect("sound");
        (params, key, block.header, fields)
    }

    fn certified(params: &Params, key: &Key, header: &Header) -> Certificate {
        let vote =
            Vote { kind: ballot::Kind::Precommit, height: header.height, round: 0, block: Some(header.id) };
        let signature = key.sign(&vote.signed_bytes(&params.chain()));
        let set = params.validator_set().expect("sound");
        Certificate::new(header.height, 0, header.id, &set, [(&key.public(), signature)])
    }

    #[test]
    fn a_certificate_counts_for_its_block_by_the_validators_of_the_genesis() {
        let (params, key, header, fields) = scene();
        let certificate = certified(&params, &key, &header);
        let judge = |header: &Header, certificate: &Certificate, genesis: Option<&Params>| {
            let trust = genesis.and_then(Trust::genesis);
            judged(header, &fields, certificate, trust.as_ref())
                .map_err(|failure| failure.message().to_owned())
        };
        assert_eq!(judge(&header, &certificate, Some(&params)), Ok(VERIFIED));
        assert!(judge(&header, &certificate, None).is_ok_and(|said| said.starts_with("not checked")));
        let other = Header { id: Hash([9; 32]), ..header.clone() };
        assert!(judge(&other, &certificate, Some(&params)).is_err(), "another block's");
        let forged = certified(&params, &Key::from_seed(&[2; 32]), &header);
        assert!(judge(&header, &forged, Some(&params)).is_err(), "nobody's");
        let elsewhere = Params { faults: Faults::Crash, name: "other".into(), ..params.clone() };
        assert!(judge(&header, &certificate, Some(&elsewhere)).is_err(), "another chain's");
    }

    #[test]
    fn says_what_a_key_has_and_what_shows_it() {
        let state = State { height: 3, point: "7.ab".into(), root: "cd".into() };
        let mut got = Got { key: "river", value: Some("delta"), state, proof: None };
        assert_eq!(got.text(), "delta\nstate        after 7.ab at height 3, root cd");
        got.value = None;
        let header = Headed { height: 5, point: "9.ef".into() };
        got.proof = Some(Proven { of: "absence", bytes: "00".into(), header, certificate: VERIFIED });
        let expected = "`river` has no value\n\
            state        after 7.ab at height 3, root cd\n\
            proof        verified: absence, in the state that the header at height 5 names\n\
            header       9.ef\n\
            certificate  verified";
        assert_eq!(got.text(), expected);
    }
}
