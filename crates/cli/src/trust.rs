//! Whom to believe: the validators that a genesis names, and those that certified changes lead to from there.
//!
//! A node shows for each change the header that announces it and those after it up to one with a certificate of the
//! validators before the change. Each is checked; so nothing is believed of the node. This is the rule by which members take
//! certificates from peers, and by which `db verify` walks a log.

use std::sync::Arc;

use anabranch::chain::native::{Certificate, Change, Faults, Fields, Params, Validators};
use anabranch::chain::native::{decode_header, read_fields};
use anabranch::chain::{Hash, Header, Height};
use anabranch::status::{CertifiedChange, CertifiedChanges};

/// The validators of a chain, as far as they were shown.
#[derive(Debug, Clone)]
pub struct Trust {
    chain: Hash,
    faults: Faults,
    validators: Arc<Validators>,
    /// The last change that was shown.
    change: Option<Change>,
    /// From which height on changes were not looked for.
    next: u64,
}

/// Why a change of validators is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Bytes that are no header or no certificate.
    #[error("what shows it cannot be read")]
    Unreadable,
    /// It lies below another, or the node skips what it was asked for.
    #[error("it is out of turn")]
    OutOfTurn,
    /// The headers do not follow each other.
    #[error("the headers do not lead from the change to the certified one")]
    Unlinked,
    /// The first header announces no change.
    #[error("its header announces none")]
    NoChange,
    /// The header is of another chain, or by validators that no certificate leads to.
    #[error("it is certified by validators that nothing shows")]
    Strangers,
    /// The certificate shows nothing.
    #[error("its certificate shows nothing: {0}")]
    Certificate(String),
}

impl Trust {
    /// In the validators of a genesis; `None` where it names none that a chain can have.
    pub fn genesis(params: &Params) -> Option<Self> {
        let validators = Arc::new(params.validator_set()?);
        Some(Self { chain: params.chain(), faults: params.faults, validators, change: None, next: 0 })
    }

    /// The chain.
    pub fn chain(&self) -> Hash {
        self.chain
    }

    /// From which height on changes were not looked for.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether a header is by validators that were shown.
    pub fn knows(&self, header: &Fields) -> bool {
        header.chain == self.chain && header.validators == self.at(header.height).hash()
    }

    /// Whether a certificate is of the validators in force at its height.
    ///
    /// # Errors
    /// Why it shows nothing.
    pub fn verify(&self, certificate: &Certificate) -> Result<(), String> {
        let validators = self.at(certificate.height());
        certificate.verify(&self.chain, validators, self.faults).map(drop).map_err(|error| error.to_string())
    }

    /// Takes the changes of a page, up to the first that is not shown.
    ///
    /// # Errors
    /// When one is not.
    pub fn follow(&mut self, page: &CertifiedChanges) -> Result<(), Reason> {
        for change in &page.changes {
            self.take(change)?;
        }
        // A page that leads nowhere would be asked for for ever.
        if page.next < self.next || (page.more && page.next == self.next) {
            return Err(Reason::OutOfTurn);
        }
        self.next = page.next;
        Ok(())
    }

    fn take(&mut self, shown: &CertifiedChange) -> Result<(), Reason> {
        let headers: Option<Vec<(Header, Fields)>> = shown.headers.iter().map(|text| read(text)).collect();
        let headers = headers.ok_or(Reason::Unreadable)?;
        let certificate = hex::decode(&shown.certificate).map_err(|_| Reason::Unreadable)?;
        let certificate = Certificate::decode(&certificate).map_err(|_| Reason::Unreadable)?;
        let (Some((_, first)), Some((last, certified))) = (headers.first(), headers.last()) else {
            return Err(Reason::NoChange);
        };
        let is_waiting = self.change.as_ref().is_some_and(|waiting| first.height < waiting.height);
        if is_waiting || first.height.0 < self.next {
            return Err(Reason::OutOfTurn);
        }
        let change = first.change.clone().ok_or(Reason::NoChange)?;
        let is_linked = headers.windows(2).all(|pair| pair[1].0.prev == Some(pair[0].0.id));
        if !is_linked || (certificate.block(), certificate.height()) != (last.id, last.height) {
            return Err(Reason::Unlinked);
        }
        if !self.knows(certified) {
            return Err(Reason::Strangers);
        }
        self.verify(&certificate).map_err(Reason::Certificate)?;
        self.validators = Arc::new(self.at(first.height).clone());
        self.change = Some(change);
        Ok(())
    }

    /// The validators in force at a height, as far as they were shown.
    fn at(&self, height: Height) -> &Validators {
        match &self.change {
            Some(change) if change.height <= height => &change.validators,
            _ => &self.validators,
        }
    }
}

fn read(text: &str) -> Option<(Header, Fields)> {
    let header = decode_header(&hex::decode(text).ok()?.into()).ok()?;
    let fields = read_fields(&header).ok()?;
    Some((header, fields))
}

#[cfg(test)]
mod tests;
