//! Machines on one network, as far as a program can tell: a network namespace each, joined by cables to switches in a
//! namespace of their own. Who hangs on which switch is who reaches whom.

use std::process::Command;

/// How many switches there are: as many as sides of a partition.
const SWITCHES: usize = 2;

/// The machines; taken down when dropped.
pub(crate) struct Machines {
    /// Tells them from another run's.
    name: String,
    count: usize,
}

impl Machines {
    /// Sets so many up, all on the first switch; or says why that cannot be.
    pub(crate) fn new(count: usize) -> Result<Self, String> {
        let machines = Self { name: format!("ab{}", std::process::id()), count };
        let hub = machines.hub();
        ip(&["netns", "add", &hub])?;
        for switch in 0..SWITCHES {
            let switch = format!("sw{switch}");
            ip(&["-n", &hub, "link", "add", &switch, "type", "bridge"])?;
            ip(&["-n", &hub, "link", "set", &switch, "up"])?;
        }
        for number in 0..count {
            let (machine, port) = (machines.machine(number), port(number));
            ip(&["netns", "add", &machine])?;
            let cable = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &machine];
            ip(&[&["-n", &hub][..], &cable].concat())?;
            ip(&["-n", &machine, "address", "add", &format!("{}/24", address(number)), "dev", "eth0"])?;
            ip(&["-n", &machine, "link", "set", "lo", "up"])?;
            ip(&["-n", &machine, "link", "set", "eth0", "up"])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "sw0"])?;
            ip(&["-n", &hub, "link", "set", &port, "up"])?;
        }
        Ok(machines)
    }

    /// Plugs each machine into a switch: `sides[n]` is machine n's.
    pub(crate) fn part(&self, sides: &[usize]) {
        for (number, side) in sides.iter().enumerate() {
            assert!(*side < SWITCHES);
            let moved =
                ip(&["-n", &self.hub(), "link", "set", &port(number), "master", &format!("sw{side}")]);
            moved.expect("a cable goes where it is put");
        }
    }

    /// A command line on a machine, to put a program's after.
    pub(crate) fn on(&self, number: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.machine(number)]);
        command
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn machine(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        // With a namespace go its ends of cables. What was not made yet cannot be removed.
        for number in 0..self.count {
            let _ = ip(&["netns", "delete", &self.machine(number)]);
        }
        let _ = ip(&["netns", "delete", &self.hub()]);
    }
}

/// Where a machine is on the network.
pub(crate) fn address(number: usize) -> String {
    format!("10.77.0.{}", number + 1)
}

fn port(number: usize) -> String {
    format!("port{number}")
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("no `ip` here: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`ip {}`: {}", arguments.join(" "), said.trim()))
}
