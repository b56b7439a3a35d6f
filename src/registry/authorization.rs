//! Logging in: what to send to a registry that requires a login.
//!
//! Credentials are never sent unrequested. `Basic` goes to the registry itself. For `Bearer`, a token is fetched from
//! the realm that the registry names, if that realm is a safe address, and with credentials only if it belongs to the
//! registry.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use url::Url;

use super::challenge::{self, Bearer, Challenge};
use super::error::Cause;
use super::exchange::{Ask, RegistryResponse, Session, said};
use super::host::Failure;
use super::login::Proof;
use super::realm;
use super::token::{self, Asked};
use crate::http::{Reach, address, origin};

/// Maximum size of a token service's answer.
const MAX_TOKEN_BODY: u64 = 1024 * 1024;

impl Session<'_> {
    /// The login that the host required before, so that it does not have to ask each time.
    pub(super) async fn known_authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let asked = (self.host.asked_basic(), self.host.asked_bearer());
        let challenge = self.host.tokens.challenge(self.repository);
        if asked == (false, false) && challenge.is_none() {
            return Ok(None);
        }
        let proof = self.proof().await?;
        match &proof {
            Proof::Bearer(header) => return Ok(asked.1.then(|| header.clone())),
            Proof::Pair(header) if asked.0 => return Ok(Some(header.clone())),
            Proof::Pair(_) | Proof::Refresh(_) | Proof::Anonymous | Proof::Unavailable(_) => {}
        }
        match challenge {
            Some(challenge) => self.token(&proof, &challenge, None).await.map(Some),
            None => Ok(None),
        }
    }

    /// The header to send after an answer that requires a login.
    pub(super) async fn answer_challenge(
        &self,
        answer: &RegistryResponse,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let challenges = challenge::parse(&answer.headers).map_err(Failure::protocol)?;
        let mut basic_offered = false;
        let mut bearer = None;
        for challenge in challenges {
            match challenge {
                Challenge::Basic => basic_offered = true,
                Challenge::Bearer(found) => bearer = bearer.or(Some(found)),
            }
        }
        let proof = self.proof().await?;
        let header = match (&proof, bearer) {
            (Proof::Bearer(header), Some(_)) => {
                self.host.remember_bearer();
                Some(header.clone())
            }
            (Proof::Bearer(_), None) => None,
            (_, Some(bearer)) => {
                let challenge = (bearer, answer.peer);
                self.host.tokens.remember_challenge(self.repository, challenge.clone());
                Some(self.token(&proof, &challenge, refused).await?)
            }
            (Proof::Pair(header), None) if basic_offered => {
                self.host.remember_basic();
                Some(header.clone())
            }
            (_, None) => None,
        };
        // The same header would be refused again.
        match header {
            Some(header) if refused != Some(&header) => Ok(header),
            _ => Err(self.refused(answer)),
        }
    }

    /// The token for this repository and proof: a cached one, one that another operation is fetching, or a new one.
    async fn token(
        &self,
        proof: &Proof,
        (bearer, peer): &Asked,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Failure> {
        let since = Instant::now();
        let slot = self.host.tokens.slot(self.repository, &proof.id());
        let mut state = slot.lock().await;
        if let Some(header) = state.usable(refused) {
            return Ok(header);
        }
        if let Some(failure) = state.shared_failure(since) {
            return Err(failure);
        }
        let asked = Instant::now();
        let fetched = self.fetch_token(bearer, *peer, proof).await;
        state.keep(asked, fetched)
    }

    /// The token that another host issues to everybody, if the registry redirected there; it is only for that host.
    pub(super) async fn anonymous_token(&self, answer: &RegistryResponse) -> Result<HeaderValue, Failure> {
        let host = origin(&answer.url);
        let challenges = challenge::parse(&answer.headers).map_err(Failure::protocol)?;
        let bearer = challenges.into_iter().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => Some(bearer),
            Challenge::Basic => None,
        });
        let text = format!("redirected to {host}, which requires a login of its own");
        let bearer = bearer.ok_or_else(|| Failure::from(Cause::Authentication(text)))?;
        let slot = self.host.tokens.slot(&format!("{host} {}", self.repository), &Proof::Anonymous.id());
        let mut state = slot.lock().await;
        if let Some(header) = state.usable(None) {
            return Ok(header);
        }
        // A host reached only by a redirect is not trusted, and neither is anything it names, including itself.
        let reach = address::check_target(&bearer.realm, self.host.plain_http, false, answer.peer)
            .map_err(|reason| Failure::protocol(format!("refused the token realm that {host} names: {reason}")))?;
        let asked = Instant::now();
        let fetched = self.ask_token(&bearer, reach, None).await;
        state.keep(asked, fetched)
    }

    async fn fetch_token(
        &self,
        bearer: &Bearer,
        peer: Option<IpAddr>,
        proof: &Proof,
    ) -> Result<(HeaderValue, Duration), Failure> {
        let host = self.host;
        let vouched = realm::vouched(&host.base, &bearer.realm, &host.token_realms);
        let reach = address::check_target(&bearer.realm, host.plain_http, vouched, peer)
            .map_err(|reason| Failure::protocol(format!("refused the token realm it names: {reason}")))?;
        match proof {
            Proof::Pair(header) => {
                self.may_have_credentials(&bearer.realm)?;
                self.ask_token(bearer, reach, Some(header.clone())).await
            }
            Proof::Refresh(token) => {
                self.may_have_credentials(&bearer.realm)?;
                self.exchange_token(bearer, reach, token).await
            }
            Proof::Bearer(_) | Proof::Anonymous | Proof::Unavailable(_) => self.ask_token(bearer, reach, None).await,
        }
    }

    /// Checks that the host's credentials may be sent to a token realm.
    fn may_have_credentials(&self, realm: &Url) -> Result<(), Failure> {
        let host = self.host;
        if realm::trusted_realm(&host.base, realm, &host.token_realms) {
            return Ok(());
        }
        let text = format!("the credentials of {} were not sent to its token realm {}", host.name, origin(realm));
        Err(Failure::from(Cause::Authentication(text)).hint(format!(
            "if that host may have them, add `tokenRealms: [{}]` to the registry in the configuration",
            realm.host_str().unwrap_or_default()
        )))
    }

    /// Exchanges a refresh token for an access token, by POST (the OAuth 2 part of Docker's token specification).
    async fn exchange_token(
        &self,
        bearer: &Bearer,
        reach: Reach,
        token: &SecretString,
    ) -> Result<(HeaderValue, Duration), Failure> {
        let scope = token::scope(bearer, self.repository);
        let service = bearer.service.as_deref().unwrap_or_default();
        let form = vec![
            ("grant_type", "refresh_token"),
            ("service", service),
            ("client_id", "landfall"),
            ("scope", &scope),
            ("refresh_token", token.expose_secret()),
        ];
        let ask = Ask { method: Method::POST, url: bearer.realm.clone(), form: Some(form), ..self.token_ask() };
        self.token_answer(&ask, reach, None).await
    }

    async fn ask_token(
        &self,
        bearer: &Bearer,
        reach: Reach,
        authorization: Option<HeaderValue>,
    ) -> Result<(HeaderValue, Duration), Failure> {
        let ask = Ask { url: token::address(bearer, self.repository), ..self.token_ask() };
        self.token_answer(&ask, reach, authorization).await
    }

    fn token_ask(&self) -> Ask<'static> {
        Ask::get(self.host.base.clone(), "application/json", MAX_TOKEN_BODY.min(self.limits.max_body))
    }

    async fn token_answer(
        &self,
        ask: &Ask<'_>,
        reach: Reach,
        authorization: Option<HeaderValue>,
    ) -> Result<(HeaderValue, Duration), Failure> {
        let service = origin(&ask.url);
        let answer = self.once(ask, &ask.url, reach, authorization.as_ref()).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let text = format!("the token service {service} answered {}", answer.status.as_u16());
                Err(Failure::from(Cause::Authentication(text)).hint(self.login_hint()))
            }
            _ => {
                let answer =
                    self.classified(answer).map_err(|failure| failure.at(&format!("the token service {service}")))?;
                if answer.status != StatusCode::OK {
                    let text = format!("the token service {service} answered {}", answer.status.as_u16());
                    return Err(Failure::protocol(text));
                }
                token::read(&answer.body)
                    .map_err(|text| Failure::protocol(format!("the token service {service}: {text}")))
            }
        }
    }

    pub(super) fn refused(&self, answer: &RegistryResponse) -> Failure {
        let text = format!("{}: no such repository, or no permission to read it", said(answer));
        Failure::from(Cause::Authentication(text)).hint(self.login_hint())
    }

    pub(super) fn login_hint(&self) -> String {
        let name = &self.host.name;
        match &self.host.login {
            None => format!("if it is private, give credentials for {name} (`registries` in the configuration)"),
            Some(_) => format!(
                "check the credentials for {name} (`registries` in the configuration): wrong, expired, or without this repository"
            ),
        }
    }

    /// The proof that the host's login presents now.
    async fn proof(&self) -> Result<Proof, Failure> {
        let Some(login) = &self.host.login else { return Ok(Proof::Anonymous) };
        let told = |failure: Failure| {
            let next = failure.hint.clone().unwrap_or_else(|| self.login_hint());
            failure.at(&format!("the login for {}", self.host.name)).hint(next)
        };
        let mut proofs = login.proofs(self).await.map_err(told)?;
        let mut presented = self.presented();
        presented.of = proofs.len();
        if proofs.is_empty() {
            presented.last = None;
            return Ok(Proof::Anonymous);
        }
        let first = presented.first.as_ref().and_then(|id| proofs.iter().position(|proof| proof.id() == *id));
        let at = (first.unwrap_or_default() + presented.refused) % proofs.len();
        let proof = proofs.swap_remove(at);
        presented.last = Some((at, proof.id()));
        if let Proof::Unavailable(failure) = &proof {
            presented.unavailable = Some(told(failure.clone()));
        }
        Ok(proof)
    }

    /// Called when every proof was refused. Whether the login may provide others now.
    pub(super) async fn forgets(&self) -> bool {
        match &self.host.login {
            None => false,
            Some(login) => login.forget(self).await,
        }
    }
}
