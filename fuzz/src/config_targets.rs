//! What an operator writes: the configuration file and a native chain's genesis. (Cardano's network files are with
//! the format.)

use anabranch::config::Config;
use chain::native;

use crate::Target;

pub(crate) const CONFIG: Target = Target { name: "config", run: config, seeds: config_seeds };
pub(crate) const GENESIS: Target = Target { name: "genesis", run: genesis, seeds: genesis_seeds };

fn config(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input)
        && let Ok(config) = toml::from_str::<Config>(text)
    {
        let _ = config.validate();
        let shown = toml::to_string(&config).expect("what was read can be shown");
        assert_eq!(toml::from_str::<Config>(&shown).expect("and read again"), config);
    }
}

fn genesis(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input)
        && let Ok(params) = toml::from_str::<native::Params>(text)
        && params.validate().is_ok()
    {
        // Only a sound genesis makes a chain.
        let _ = (params.chain(), params.validator_set());
        let slot = params.slot_at(std::time::Duration::from_secs(2_000_000_000));
        let _ = params.slot_start(slot);
        let _ = native::State::genesis(&params);
    }
}

fn config_seeds() -> Vec<Vec<u8>> {
    let full = "network = \"preview\"\ndata_dir = \"db\"\n[upstream]\naddresses = [\"a.example:3001\", \"[::1]:3001\"]\n\
                agree = 2\ndial_timeout_ms = 1\n[downstream]\nlisten = [\"127.0.0.1:0\"]\nmax_clients = 9\n\
                max_clients_per_address = 3\ndrain_ms = 0\n[chain]\ndepth = 1\ncheck_threads = 2\n[admin]\n\
                listen = \"127.0.0.1:9\"\n[log]\nfilter = \"info\"\nformat = \"json\"\n";
    let peers = format!(
        "[peers]\nlisten = [\"0.0.0.0:1\", \"unix:/a\"]\ndial = [\"{0}@a.example:1\", \"{1}@unix:/b\"]\npinned = [\"{0}\"]\n\
         deny = [\"{2}\"]\nreserved = 1\n[link]\ncipher = \"chachapoly\"\nstrikes = 0\n",
        key(1),
        key(2),
        key(3)
    );
    let seeds = vec![Vec::new(), full.into(), peers.into()];
    for seed in &seeds {
        let config: Config =
            toml::from_str(str::from_utf8(seed).expect("text")).expect("a seed is a configuration");
        config.validate().expect("a sound one");
    }
    seeds
}

fn key(n: u8) -> link::PeerId {
    link::Identity::from_seed(&[n; 32]).peer_id()
}

fn genesis_seeds() -> Vec<Vec<u8>> {
    let params = native::Params::solo("seed", 7, 1_700_000_000_000, [3; 32]);
    params.validate().expect("sound");
    vec![toml::to_string(&params).expect("text").into_bytes()]
}
