//! `devnet`: a network of one's own in one process: validators that agree over real sockets, and followers.
//!
//! Blocks are made of what `tx put` puts in; a transaction is made up now and then, so that there is something to look
//! at. A line is printed per block, when the first of the nodes has it.

mod data_dir;
mod figures;
mod node;
mod nodes;
mod orders;
mod show;

use std::path::Path;
use std::time::Duration;

use anabranch::config::Config;
use anabranch::founding::{self, Founded, Plan};
use anabranch::network_id::{DEVNET, DEVNET_MAGIC};
use anabranch_cli::transaction::Transaction;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::args;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::shutdown;
use data_dir::DataDir;
use figures::Figures;
use node::News;
use nodes::Nodes;
use orders::{Listener, Order};

/// How long a slot of a devnet lasts: no more than a hundred blocks a second are made.
const SLOT: Duration = Duration::from_millis(10);

/// Blocks that may wait to be shown: more than a hundred nodes make of the slots of a second.
const MAX_NEWS: usize = 1_024;

pub(super) async fn run(args: &args::Devnet, config: Config, output: Output) -> Result<(), Failure> {
    if let Some(order) = &args.order {
        return orders::give(order, output).await;
    }
    let dir = match &args.data_dir {
        Some(dir) => DataDir::Kept(dir.clone()),
        None => DataDir::temporary()?,
    };
    let founded = founded(args, dir.path())?;
    let stop = CancellationToken::new();
    shutdown::watch(stop.clone())?;
    let (sender, news) = mpsc::channel(MAX_NEWS);
    let mut nodes = Nodes::new(founded, &settings(args, config), args.downstream, sender, output);
    nodes.start_all().await?;
    // Only now: the nodes' locks say that no other process has this devnet.
    let listener = Listener::bind(dir.path())?;
    if !output.json {
        println!("{}", show::hints(&nodes, dir.path()));
    }
    let mut devnet = Devnet { nodes, figures: Figures::default(), output };
    let ran = devnet.run(args, news, listener, &stop).await;
    let Devnet { nodes, figures, .. } = devnet;
    let summary = figures.summary(nodes.standings().await);
    let ended = nodes.stop().await;
    ran.and(ended)?;
    output.line(&summary, || summary.text())?;
    Ok(())
}

/// The network of this directory, or a new one there.
fn founded(args: &args::Devnet, dir: &Path) -> Result<Founded, Failure> {
    let in_the_way = |error: founding::Error| Failure::new(Kind::DataDir, error);
    if let Some(found) = founding::open(dir).map_err(in_the_way)? {
        let validators = found.places.iter().filter(|place| place.key.is_some()).count();
        let (nodes, followers) = (validators as u32, (found.places.len() - validators) as u32);
        if args.nodes.is_some_and(|asked| asked != nodes)
            || args.followers.is_some_and(|asked| asked != followers)
        {
            let message =
                format!("{} holds a devnet of {nodes} validators and {followers} followers", dir.display());
            return Err(Failure::new(Kind::DataDir, message)
                .hint("leave --nodes and --followers out to go on with it, or give another --data-dir"));
        }
        return Ok(found);
    }
    let plan = Plan {
        name: DEVNET.to_owned(),
        magic: DEVNET_MAGIC,
        slot_length: SLOT,
        start: anabranch::clock::Clock::start().now().wall,
        faults: args.faults.into(),
        validators: args.nodes.unwrap_or(args::DEVNET_NODES),
        followers: args.followers.unwrap_or(0),
    };
    founding::found(dir, &plan).map_err(in_the_way)
}

/// What the nodes have in common.
fn settings(args: &args::Devnet, mut config: Config) -> Config {
    if args.no_made_up {
        config.consensus.rest_ms = u64::try_from(args.every.as_millis()).unwrap_or(u64::MAX);
    }
    config
}

/// A devnet that runs.
struct Devnet {
    nodes: Nodes,
    figures: Figures,
    output: Output,
}

impl Devnet {
    /// Shows blocks, makes transactions up and takes orders, until `stop` or the time is over.
    async fn run(
        &mut self,
        args: &args::Devnet,
        mut news: mpsc::Receiver<News>,
        mut listener: Listener,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let end = args.run_for.map(|time| Instant::now() + time);
        let mut pulse = tokio::time::interval(args.every);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = at(end) => return Ok(()),
                Some(news) = news.recv() => self.on_news(news).await?,
                _ = pulse.tick(), if !args.no_made_up => {
                    count += 1;
                    self.make_up(count).await;
                }
                order = listener.next() => {
                    let answer = self.obey(&order.what).await;
                    order.answer(answer);
                }
            }
        }
    }

    async fn on_news(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Block(entry) => {
                if self.figures.on_block(&entry, Instant::now()) {
                    show::block(&entry, self.output)?;
                }
                Ok(())
            }
            News::Stop(name) => self.nodes.stop_one(&name).await,
        }
    }

    /// Hands a transaction to one of the nodes, to each in its turn.
    async fn make_up(&mut self, count: u64) {
        let bytes = Transaction::put("made-up", &count.to_string()).encode();
        let Some(node) = self.nodes.turn(count) else { return };
        // Refused only when the node has failed, or has no room: then its status says so.
        if let Some(Ok(id)) = node.submit(bytes.into()).await {
            self.figures.on_submitted(id, Instant::now());
        }
    }

    async fn obey(&mut self, order: &Order) -> Result<String, String> {
        match order {
            Order::Kill(name) => self.nodes.kill(name).await,
            Order::Start(name) => self.nodes.start(name).await,
        }
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}
