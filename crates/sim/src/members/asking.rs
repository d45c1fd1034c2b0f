//! A node asks its application, which answers when it comes to it.

use std::time::Duration;

use node::application::Question;
use node::{Input, Ticket};
use rand::RngExt;

use super::app::OutOfOrder;
use super::check::Broken;
use super::config::Sabotage;
use super::world::{Event, World};

/// What the application takes for an answer at most.
const ANSWER: Duration = Duration::from_millis(4);

impl World {
    pub(super) fn ask(&mut self, node: u32, ticket: Ticket, question: Question) -> Result<(), Broken> {
        let is_delivery = matches!(question, Question::Deliver { .. });
        let sabotage = self.config.sabotage.filter(|_| is_delivery && self.rng.random_bool(0.1));
        let host = &mut self.hosts[node as usize];
        let asked = match sabotage {
            Some(Sabotage::SkipsADelivery) => Ok(()),
            Some(Sabotage::DeliversTwice) => {
                host.app.ask(ticket, question.clone()).and_then(|()| host.app.ask(ticket, question))
            }
            _ => host.app.ask(ticket, question),
        };
        if let Err(OutOfOrder { expected_after, found }) = asked {
            let shown = |tip: chain::Tip| format!("{:.8} at {}", tip.point, tip.height);
            let (found, expected) = (shown(found), shown(expected_after));
            return Err(Broken::Delivered { node, found, expected });
        }
        self.work_on(node);
        Ok(())
    }

    /// The application turns to what waits, if it does nothing else.
    fn work_on(&mut self, node: u32) {
        let now = self.schedule.now().mono;
        let delay = ANSWER.mul_f64(self.rng.random());
        let host = &mut self.hosts[node as usize];
        if host.app.has_work() && !std::mem::replace(&mut host.app.is_busy, true) {
            let at = now.max(host.app.asleep_until) + delay;
            self.schedule.at(at, Event::Applied { node, life: host.life });
        }
    }

    pub(super) fn on_applied(&mut self, node: u32, life: u32) -> Result<(), Broken> {
        let host = &mut self.hosts[node as usize];
        if host.life != life {
            return Ok(());
        }
        host.app.is_busy = false;
        let accepts_anything = self.config.sabotage == Some(Sabotage::AcceptsAnything);
        let answered = host.app.answer(self.change.as_ref(), accepts_anything);
        self.work_on(node);
        match answered {
            Some((ticket, answer)) => self.give(node, Input::Answered { ticket, answer }),
            None => Ok(()),
        }
    }
}
