//! What a client does with which URL: a rule for each, and nothing goes where no rule is (SPEC §18, §20).

use super::exchange::Carriage;
use super::keys::{ServicePins, TrustedKeys};
use super::message::{Origin, Target};
use super::pattern::{Params, PathPattern, is_ambiguous};
use super::resource::SealedResource;
use crate::error::{Error, Result};
use std::sync::Arc;

/// What is done with the requests of an app, by origin and path. A URL that no rule covers is refused, not sent in the clear.
///
/// ```
/// use sealwire::{Identity, http::{Policy, Rule, SealedResource, ServicePins}};
///
/// let service = Identity::generate()?;
/// let policy = Policy::new()
///     .service("https://api.example.com", ServicePins::new([service.recipient().pin()]))?
///     .rule(Rule::at("https://api.example.com", "/notes/{id}")?.seal(SealedResource::new("notes", "id")).sign())
///     .rule(Rule::at("https://api.example.com", "/assistant/{rest..}")?.exchange().sign());
/// # let _ = policy;
/// # Ok::<(), sealwire::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    services: Vec<(Origin, ServiceTrust)>,
}

/// How a client comes to know a service's keys.
#[derive(Debug, Clone)]
pub(crate) enum ServiceTrust {
    Pins(ServicePins),
    Keys(Box<TrustedKeys>),
}

impl Policy {
    /// No rules: everything is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whose keys to believe for exchanges with `origin`.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it is an origin.
    pub fn service(mut self, origin: &str, pins: ServicePins) -> Result<Self> {
        self.believe(Origin::parse(origin)?, ServiceTrust::Pins(pins));
        Ok(self)
    }

    /// Gives the keys for exchanges with `origin`, which the app has by another way.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it is an origin.
    pub fn service_keys(mut self, origin: &str, keys: TrustedKeys) -> Result<Self> {
        self.believe(Origin::parse(origin)?, ServiceTrust::Keys(Box::new(keys)));
        Ok(self)
    }

    fn believe(&mut self, origin: Origin, trust: ServiceTrust) {
        self.services.retain(|(known, _)| *known != origin);
        self.services.push((origin, trust));
    }

    /// Adds a rule. The first that covers a URL counts.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The rule for a target, with the values of its pattern's parameters.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no rule covers it, or the one that does protects nothing, or less than an earlier one does whose path this may be
    /// in another spelling: a server hands out such links to be told more.
    pub(crate) fn find(&self, target: &Target) -> Result<(&Rule, Params)> {
        let covers = |rule: &'_ Rule| {
            let same_origin = rule.origin == *target.origin();
            let may = same_origin && !(rule.protects_nothing() && is_ambiguous(target.path()));
            may.then(|| rule.pattern.matches(target.path())).flatten()
        };
        let found = self.rules.iter().enumerate().find_map(|(i, rule)| Some((i, rule, covers(rule)?)));
        let (place, rule, params) = found.ok_or(Error::Misuse(&"no rule of the policy covers this URL"))?;
        let dodged = |earlier: &Rule| {
            earlier.origin == rule.origin
                && earlier.protects_more_than(rule)
                && earlier.pattern.may_match(target.path())
        };
        if self.rules.iter().take(place).any(dodged) {
            return Err(Error::Misuse(&"another spelling of a path that an earlier rule protects better"));
        }
        if rule.protects_nothing() && !rule.in_the_clear {
            return Err(Error::Misuse(
                &"the rule for this URL neither seals nor says that it is in the clear",
            ));
        }
        Ok((rule, params))
    }

    /// The names under which [`LastSeen`](super::LastSeen) remembers the services.
    pub(crate) fn names_of_services(&self) -> impl Iterator<Item = String> {
        self.services.iter().flat_map(|(origin, trust)| match trust {
            ServiceTrust::Pins(pins) => Vec::from(pins.names_of(origin)),
            ServiceTrust::Keys(_) => Vec::new(),
        })
    }

    pub(crate) fn trust(&self, origin: &Origin) -> Result<&ServiceTrust> {
        let found = self.services.iter().find(|(known, _)| known == origin);
        found.map(|(_, trust)| trust).ok_or(Error::Misuse(&"the policy names no pins for this service"))
    }
}

/// What is done with the requests to one kind of URL.
#[derive(Debug, Clone)]
pub struct Rule {
    origin: Origin,
    pattern: PathPattern,
    pub(crate) exchange: Option<Carriage>,
    pub(crate) streamed: bool,
    pub(crate) idempotent: bool,
    pub(crate) resource: Option<Arc<SealedResource>>,
    pub(crate) signed: bool,
    in_the_clear: bool,
}

impl Rule {
    /// A rule for `pattern` under `origin`. A segment `{name}` of the pattern stands for any one segment that is not empty;
    /// `{name..}` at its end for all that follow, of which there is at least one: `/files/{rest..}` does not cover `/files`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an origin or pattern that is not one; also for `*` and `:name`, which other routers take.
    pub fn at(origin: &str, pattern: &str) -> Result<Self> {
        Ok(Self {
            origin: Origin::parse(origin)?,
            pattern: PathPattern::parse(pattern)?,
            exchange: None,
            streamed: false,
            idempotent: false,
            resource: None,
            signed: false,
            in_the_clear: false,
        })
    }

    /// Seals request and response to the service, in place.
    #[must_use]
    pub fn exchange(self) -> Self {
        self.exchange_by(Carriage::InPlace(super::exchange::InPlace::new()))
    }

    /// Seals request and response to the service, and says how they travel.
    #[must_use]
    pub fn exchange_by(mut self, carriage: Carriage) -> Self {
        self.exchange = Some(carriage);
        self
    }

    /// Exchanges in the chunked form, so that responses can be read while they arrive.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }

    /// Says that the service refuses a second request with the same `Idempotency-Key`: then every request carries one, and the client
    /// itself repeats one that the service could not open.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Seals bodies to people: the service only stores them.
    #[must_use]
    pub fn seal(mut self, resource: SealedResource) -> Self {
        self.resource = Some(Arc::new(resource));
        self
    }

    /// Signs requests, so that a gateway can check who sent them.
    #[must_use]
    pub fn sign(mut self) -> Self {
        self.signed = true;
        self
    }

    /// **Sends and takes everything in the clear**: for what is public anyway. A path that the service might read as another one, such as
    /// `/public/..%2Fnotes`, is not covered.
    #[must_use]
    pub fn in_the_clear(mut self) -> Self {
        self.in_the_clear = true;
        self
    }

    fn protects_nothing(&self) -> bool {
        self.exchange.is_none() && self.resource.is_none()
    }

    /// Whether it keeps something back from the service, or from those before it, that the other does not.
    fn protects_more_than(&self, other: &Self) -> bool {
        self.resource.is_some() && other.resource.is_none()
            || self.exchange.is_some() && other.exchange.is_none()
    }

    /// What it does, as it stands in events.
    pub(crate) fn protection(&self) -> &'static str {
        match (self.resource.is_some(), self.exchange.is_some(), self.signed) {
            (false, false, false) => "none",
            (false, false, true) => "signature",
            (false, true, false) => "exchange",
            (false, true, true) => "exchange+signature",
            (true, false, false) => "envelope",
            (true, false, true) => "envelope+signature",
            (true, true, false) => "envelope+exchange",
            (true, true, true) => "envelope+exchange+signature",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, Rule, SealedResource, Target};

    #[test]
    fn nothing_climbs_out_of_what_is_in_the_clear() {
        let origin = "https://api.example.com";
        let clear = Rule::at(origin, "/public/{rest..}").unwrap().in_the_clear();
        let sealed = Rule::at(origin, "/{rest..}").unwrap().exchange();
        let alone = Policy::new().rule(clear.clone());
        let both = Policy::new().rule(clear).rule(sealed);
        let at = |path: &str| Target::parse(&format!("{origin}{path}")).unwrap();
        assert_eq!(both.find(&at("/public/a/b?c=%2F;")).unwrap().0.protection(), "none");
        for path in [
            "..%2Fnotes",
            "a/%2E%2e%2fnotes",
            "..;/notes",
            "a%3B",
            "%252e%252e%252fnotes",
            "..%5Cnotes",
            "a/..%20/b",
            "..%00",
            "%6Eotes",
            "a//notes",
            "%23",
        ] {
            let target = at(&format!("/public/{path}"));
            assert_eq!(alone.find(&target).err().unwrap().code(), "Misuse", "{path}");
            assert_eq!(both.find(&target).unwrap().0.protection(), "exchange", "{path}");
        }
    }

    /// A rule that covers the rest of a service, behind better ones.
    #[test]
    fn another_spelling_gets_no_less_protection() {
        let origin = "https://api.example.com";
        let at = |path: &str| Target::parse(&format!("{origin}{path}")).unwrap();
        let rule = |pattern: &str| Rule::at(origin, pattern).unwrap();
        let notes = || rule("/notes/{id}").seal(SealedResource::new("notes", "id"));
        for rest in [rule("/{rest..}").exchange(), rule("/{rest..}").in_the_clear()] {
            let policy =
                Policy::new().rule(notes()).rule(rule("/files/{path..}").exchange()).rule(rest.clone());
            for path in [
                "/%6Eotes/17",
                "//notes/17",
                "/notes//17",
                "/notes/17/",
                "/Notes/17",
                "/NOTES;a/17",
                "/notes%2F17",
                "/x/..%2Fnotes/17",
                "/x/..;a/notes/17",
                "/.;/notes/17",
                "/%256Eotes/17",
            ] {
                assert_eq!(policy.find(&at(path)).err().unwrap().code(), "Misuse", "{path}");
            }
            for path in ["/notes", "/notes/17/pages", "/files", "/other/17", "/"] {
                assert_eq!(policy.find(&at(path)).unwrap().0.protection(), rest.protection(), "{path}");
            }
            assert_eq!(policy.find(&at("/notes/17")).unwrap().0.protection(), "envelope");
            // The other way round it is what the app has written.
            let policy = Policy::new().rule(rest.clone()).rule(notes());
            assert_eq!(policy.find(&at("/notes/17")).unwrap().0.protection(), rest.protection());
        }
    }
}
