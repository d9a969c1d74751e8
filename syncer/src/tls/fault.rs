//! What went wrong between two ends that should have spoken TLS, with the remedy. Pure: errors in, sentences out.

use std::io;

use rustls::{AlertDescription, CertificateError, pki_types::UnixTime};

/// How many of a certificate's names are told.
const NAMES_MAX: usize = 8;

/// Why there is no TLS with a server, or why it wants some. The texts name the fields as they stand in `tls`, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The server's certificate was issued by somebody else.
    #[error(
        "the server's certificate is not issued by {trusted}: give the CA that issued it in tls, or look who answers there"
    )]
    UnknownIssuer {
        /// Whom we trust.
        trusted: String,
    },
    /// Its time is over, or has not come.
    #[error("the server's certificate is {what} ({detail}): renew it there, or correct the clocks")]
    OutOfTime {
        /// `expired`, or `not valid yet`.
        what: &'static str,
        /// Its limit.
        detail: String,
    },
    /// It is for other names.
    #[error(
        "the server's certificate is not for '{wanted}', it has {names}: set tls.serverName to one of its names, or issue it for that one too"
    )]
    WrongName {
        /// The name that we verify.
        wanted: String,
        /// Its names.
        names: String,
    },
    /// It is a certificate of an authority, as a self-signed one often is.
    #[error(
        "the server shows the certificate of an authority (CA:TRUE) as its own: issue one for the server itself, with its names"
    )]
    AuthorityAsServer,
    /// Something else is wrong with it.
    #[error("the server's certificate is refused ({0}): issue another one")]
    Certificate(String),
    /// The server speaks, but not TLS.
    #[error(
        "the server speaks without TLS there, and tls is configured: correct the port, or remove tls from the site"
    )]
    SpeaksPlain,
    /// The server speaks TLS only.
    #[error(
        "the server speaks TLS there, and none is configured: add tls to the site (for sentinels to sentinel), or correct the port"
    )]
    SpeaksTls,
    /// The server wants to see a certificate of ours.
    #[error(
        "the server asks for a client certificate and none is configured ({0}): give one in tls, certificateSecretRef (in the syncer's own file certificateFile and keyFile)"
    )]
    CertificateWanted(String),
    /// The server does not accept our certificate.
    #[error(
        "the server refuses our client certificate ({0}): renew it, or have it issued by a CA that the server trusts"
    )]
    CertificateRefused(String),
    /// The two have no version or suite in common.
    #[error("the server and we have no TLS in common ({0}): it must speak TLS 1.2 or 1.3")]
    Incompatible(String),
    /// There is nothing to verify.
    #[error("the server's address has no name that a certificate can have: set tls.serverName")]
    NoName,
    /// Anything else.
    #[error("TLS failed: {0}")]
    Other(String),
}

/// What an error of a TLS stream means; `None`: it is of the connection below.
pub(super) fn of(error: &io::Error, trusted: &str, has_certificate: bool) -> Option<TlsFault> {
    let inner = error.get_ref()?;
    if let Some(fault) = inner.downcast_ref::<TlsFault>() {
        return Some(fault.clone());
    }
    Some(match inner.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => of_certificate(error, trusted),
        rustls::Error::AlertReceived(alert) => of_alert(*alert, has_certificate),
        rustls::Error::InvalidMessage(_) => TlsFault::SpeaksPlain,
        rustls::Error::PeerIncompatible(why) => TlsFault::Incompatible(format!("{why:?}")),
        other => TlsFault::Other(other.to_string()),
    })
}

fn of_certificate(error: &CertificateError, trusted: &str) -> TlsFault {
    // Without the time of the attempt: the text of a wait that lasts stays as it is.
    let out_of_time = |what, limit: Option<UnixTime>| TlsFault::OutOfTime {
        what,
        detail: limit.map_or_else(|| "by its own word".to_owned(), date),
    };
    match error {
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer { trusted: trusted.to_owned() },
        CertificateError::Expired => out_of_time("expired", None),
        CertificateError::ExpiredContext { not_after, .. } => {
            out_of_time("expired", Some(*not_after))
        }
        CertificateError::NotValidYet => out_of_time("not valid yet", None),
        CertificateError::NotValidYetContext { not_before, .. } => {
            out_of_time("not valid yet", Some(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            TlsFault::WrongName { wanted: expected.to_str().into_owned(), names: names(presented) }
        }
        // A certificate for itself, and so trusted as an authority only.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => TlsFault::AuthorityAsServer,
        other => TlsFault::Certificate(other.to_string()),
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "at no known time".to_owned(), |at| at.to_string())
}

/// `DnsName("a")` and `IpAddress(1.2.3.4)` become `a, 1.2.3.4`.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no names (its common name does not count, the subjectAltName does)".to_owned();
    }
    let bare = |text: &String| {
        let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(text).trim_matches('"').to_owned()
    };
    let told: Vec<String> = presented.iter().take(NAMES_MAX).map(bare).collect();
    let more = if presented.len() > NAMES_MAX { " and more" } else { "" };
    format!("{}{more}", told.join(", "))
}

fn of_alert(alert: AlertDescription, has_certificate: bool) -> TlsFault {
    let told = format!("alert {alert:?}");
    match alert {
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
            TlsFault::Incompatible(told)
        }
        AlertDescription::CertificateRequired
        | AlertDescription::NoCertificate
        // What 1.2 says for want of a certificate.
        | AlertDescription::HandshakeFailure
            if !has_certificate =>
        {
            TlsFault::CertificateWanted(told)
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError
            if has_certificate =>
        {
            TlsFault::CertificateRefused(told)
        }
        _ => TlsFault::Other(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: rustls::Error, has_certificate: bool) -> String {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        of(&error, "an authority of /ca.crt", has_certificate).unwrap().to_string()
    }

    #[test]
    fn each_fault_names_what_to_put_right() {
        let certificate = rustls::Error::InvalidCertificate;
        let alert = rustls::Error::AlertReceived;
        for (error, has_certificate, words) in [
            (certificate(CertificateError::UnknownIssuer), false, "/ca.crt: give the CA"),
            (certificate(CertificateError::Expired), false, "is expired"),
            (certificate(CertificateError::NotValidYet), false, "not valid yet"),
            (certificate(CertificateError::BadEncoding), false, "is refused"),
            (alert(AlertDescription::CertificateRequired), false, "asks for a client certificate"),
            (alert(AlertDescription::HandshakeFailure), false, "asks for a client certificate"),
            (alert(AlertDescription::UnknownCA), true, "refuses our client certificate"),
            (alert(AlertDescription::CertificateExpired), true, "refuses our client certificate"),
            (alert(AlertDescription::ProtocolVersion), true, "TLS 1.2 or 1.3"),
            (alert(AlertDescription::InternalError), true, "TLS failed"),
        ] {
            let told = told(error, has_certificate);
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn the_names_of_the_wrong_certificate_are_told() {
        let error = CertificateError::NotValidForNameContext {
            expected: "redis-0.shop".try_into().unwrap(),
            presented: vec!["DnsName(\"redis.shop\")".into(), "IpAddress(10.0.0.1)".into()],
        };
        let told = told(rustls::Error::InvalidCertificate(error), false);
        assert!(
            told.contains("not for 'redis-0.shop', it has redis.shop, 10.0.0.1: set"),
            "{told}"
        );
        assert!(names(&[]).contains("subjectAltName"));
        assert!(names(&vec!["x".to_owned(); 9]).ends_with("x and more"));
    }

    #[test]
    fn an_error_of_the_network_is_no_fault_of_tls() {
        assert_eq!(of(&io::ErrorKind::ConnectionReset.into(), "", false), None);
    }
}
