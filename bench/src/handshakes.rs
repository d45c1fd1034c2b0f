//! Handshakes of links: dialling and accepting, both sides on one core, in memory.
//!
//! Beside: snow alone (the same pattern without anybody's identity), and rustls (TLS 1.3, both sides proven by raw
//! Ed25519 keys: what would prove as much). They take turns in short rounds, counted in this thread's CPU time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use link::frame::LENGTH_BYTES;
use link::session::{Config, Handshake, Security, Session};
use link::{Identity, PeerId};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rustix::time::{ClockId, clock_gettime};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use snow::StatelessTransportState;

use crate::connects;
use crate::process::own_resident_bytes;
use crate::report::{Report, median};
use crate::sealing;
use crate::tls;

/// How many handshakes, or sessions, are weighed at once.
const WEIGHED: usize = 2_000;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// For how long, for each of the three.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// In how many turns; the median counts.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
}

/// Runs the benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut ours = Ours::new();
    let tls = Tls::new()?;
    let round = Duration::from_secs_f64(args.seconds / args.rounds.max(1) as f64);
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..args.rounds.max(1) {
        rates[0].push(rate(round, || ours.shake().map(drop))?);
        rates[1].push(rate(round, || snow_alone().map(drop))?);
        rates[2].push(rate(round, || tls.shake().map(drop))?);
    }
    let [per_s, snow, rustls] = rates.map(|rates| median(rates.into_iter()));
    let mut report = Report::new("handshakes");
    report.row("per_s", "1/s", per_s, &[("snow", snow), ("rustls", rustls)]);

    let over_loopback = connects::per_core_second(args.seconds)?;
    report.row("over_loopback_per_s", "1/s", over_loopback, &[]);

    let (costs, beside) = (sealing::ours(ours.shake()?)?, sealing::snow(snow_alone()?)?);
    report.row("seal_ns_per_byte", "ns", costs.seal, &[("snow", beside.seal)]);
    report.row("open_ns_per_byte", "ns", costs.open, &[("snow", beside.open)]);

    let begun = weighed(|| ours.begin())?;
    report.row("bytes_per_handshake", "B", begun, &[]);
    let session = weighed(|| ours.shake())?;
    let (snow, rustls) = (weighed(snow_alone)?, weighed(|| tls.shake())?);
    // Both ends of each are here.
    report.row("bytes_per_session", "B", session / 2.0, &[("snow", snow / 2.0), ("rustls", rustls / 2.0)]);
    Ok(report)
}

/// How often a core does it in a second.
fn rate(round: Duration, mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = cpu_time();
    let mut count = 0.0;
    loop {
        once()?;
        count += 1.0;
        let spent = cpu_time().saturating_sub(start);
        if spent >= round {
            return Ok(count / spent.as_secs_f64());
        }
    }
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What each of many adds to the resident memory. All that is weighed is kept to the end, so that nothing is laid
/// where something else was before.
fn weighed<T>(mut make: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    // What the first brings along, and what others freed, is used up before the scales are read.
    keep(&mut make)?;
    let before = own_resident_bytes()?;
    keep(&mut make)?;
    Ok(own_resident_bytes()?.saturating_sub(before) as f64 / WEIGHED as f64)
}

fn keep<T>(make: &mut impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    std::mem::forget((0..WEIGHED).map(|_| make()).collect::<Result<Vec<T>, _>>()?);
    Ok(())
}

/// Ours: `link::session`.
struct Ours {
    config: Config,
    identities: [Identity; 2],
    rng: ChaCha20Rng,
    wire: Vec<u8>,
}

impl Ours {
    fn new() -> Self {
        let config = Config { network_id: [7; 32], security: Security::default() };
        let identities = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
        Self { config, identities, rng: ChaCha20Rng::seed_from_u64(1), wire: Vec::new() }
    }

    fn sides(&mut self) -> (Handshake, Handshake) {
        let [ours, theirs] = &self.identities;
        let dialler = Handshake::dial(&self.config, ours, Some(theirs.peer_id()), &mut self.rng);
        (dialler, Handshake::accept(&self.config, theirs, &mut self.rng))
    }

    /// An acceptor that has answered and waits for the last message.
    fn begin(&mut self) -> anyhow::Result<Handshake> {
        let (mut dialler, mut acceptor) = self.sides();
        self.pass(&mut dialler, &mut acceptor)?;
        acceptor.transmit(&mut self.wire);
        Ok(acceptor)
    }

    fn shake(&mut self) -> anyhow::Result<(Session, Session)> {
        let (mut dialler, mut acceptor) = self.sides();
        self.pass(&mut dialler, &mut acceptor)?;
        self.pass(&mut acceptor, &mut dialler)?;
        self.pass(&mut dialler, &mut acceptor)?;
        let (dialler, acceptor) = (dialler.finish(), acceptor.finish());
        let found: [PeerId; 2] = [acceptor.peer, dialler.peer];
        ensure!(found == [0, 1].map(|at: usize| self.identities[at].peer_id()), "they found others");
        Ok((dialler, acceptor))
    }

    fn pass(&mut self, from: &mut Handshake, to: &mut Handshake) -> anyhow::Result<()> {
        self.wire.clear();
        from.transmit(&mut self.wire);
        Ok(to.receive(&self.wire[LENGTH_BYTES..])?)
    }
}

/// snow as its examples use it, with ring where it can: new static keys that belong to nobody.
fn snow_alone() -> anyhow::Result<(StatelessTransportState, StatelessTransportState)> {
    use snow::Builder;
    use snow::resolvers::{DefaultResolver, FallbackResolver, RingResolver};

    let builder = || -> anyhow::Result<Builder<'static>> {
        let resolver = FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver));
        Ok(Builder::with_resolver("Noise_XX_25519_AESGCM_SHA256".parse()?, Box::new(resolver)))
    };
    let keys = [builder()?.generate_keypair()?, builder()?.generate_keypair()?];
    let mut dialler = builder()?.local_private_key(&keys[0].private)?.build_initiator()?;
    let mut acceptor = builder()?.local_private_key(&keys[1].private)?.build_responder()?;
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    let length = dialler.write_message(&[], &mut message)?;
    acceptor.read_message(&message[..length], &mut payload)?;
    let length = acceptor.write_message(&[], &mut message)?;
    dialler.read_message(&message[..length], &mut payload)?;
    let length = dialler.write_message(&[], &mut message)?;
    acceptor.read_message(&message[..length], &mut payload)?;
    Ok((dialler.into_stateless_transport_mode()?, acceptor.into_stateless_transport_mode()?))
}

/// rustls.
struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    fn new() -> anyhow::Result<Self> {
        let (client, server) = tls::configs()?;
        Ok(Self { client, server })
    }

    fn shake(&self) -> anyhow::Result<(ClientConnection, ServerConnection)> {
        let mut client = ClientConnection::new(Arc::clone(&self.client), tls::server_name())?;
        let mut server = ServerConnection::new(Arc::clone(&self.server))?;
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            wire.clear();
            client.write_tls(&mut wire)?;
            server.read_tls(&mut &wire[..])?;
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire)?;
            client.read_tls(&mut &wire[..])?;
            client.process_new_packets()?;
        }
        Ok((client, server))
    }
}
