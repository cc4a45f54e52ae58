//! What an API server's refusal means for whoever wanted something: to look again, to wait, or to give up.

use std::time::Duration;

use kube::Error;

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 409: the object is not what it was thought to be; read it again.
    Conflict,
    /// 429: wait as long as the server asks for.
    Throttled(Option<Duration>),
    /// 403: a right is missing.
    Forbidden,
    /// 404, or a namespace that is being deleted: there is nothing to write to.
    Gone,
    /// Any other 4xx: it will be refused again until something changes.
    Invalid,
    /// 5xx, or no answer at all.
    Unavailable,
}

impl Failure {
    /// The kind of an error of the client.
    pub fn of(error: &Error) -> Self {
        let Error::Api(status) = error else { return Self::Unavailable };
        let details = status.details.as_ref();
        let ending = |cause: &kube::core::response::StatusCause| cause.reason == "NamespaceTerminating";
        match status.code {
            _ if details.is_some_and(|details| details.causes.iter().any(ending)) => Self::Gone,
            403 => Self::Forbidden,
            404 | 410 => Self::Gone,
            409 => Self::Conflict,
            429 => {
                let seconds = details.map_or(0, |details| details.retry_after_seconds);
                Self::Throttled((seconds > 0).then(|| Duration::from_secs(seconds.into())))
            }
            400..500 => Self::Invalid,
            _ => Self::Unavailable,
        }
    }

    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Throttled(_) => "throttled",
            Self::Forbidden => "forbidden",
            Self::Gone => "gone",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: serde_json::Value) -> Failure {
        Failure::of(&Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn codes_have_their_meaning() {
        assert_eq!(of(json!({"code": 409})), Failure::Conflict);
        assert_eq!(of(json!({"code": 403})), Failure::Forbidden);
        assert_eq!(of(json!({"code": 404})), Failure::Gone);
        assert_eq!(of(json!({"code": 422})), Failure::Invalid);
        assert_eq!(of(json!({"code": 500})), Failure::Unavailable);
        assert_eq!(of(json!({"code": 429})), Failure::Throttled(None));
        let throttled = of(json!({"code": 429, "details": {"retryAfterSeconds": 7}}));
        assert_eq!(throttled, Failure::Throttled(Some(Duration::from_secs(7))));
        assert_eq!(Failure::of(&Error::LinesCodecMaxLineLengthExceeded), Failure::Unavailable);
    }

    #[test]
    fn a_namespace_that_is_being_deleted_takes_nothing() {
        let causes = json!([{"reason": "NamespaceTerminating", "message": "being terminated"}]);
        assert_eq!(of(json!({"code": 403, "details": {"causes": causes}})), Failure::Gone);
    }
}
