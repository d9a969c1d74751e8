//! A Sentinel's word put to the node itself, in one call. For whoever decides something by it and keeps no connection.

use std::time::Duration;

use tokio::time::timeout;

use super::role::{Role, check_role};
use crate::{
    address::Peer,
    connection::{Connection, ConnectionError},
    login::Login,
    position::Offset,
};

/// For all of it: dial, AUTH, ROLE. A node that needs longer is of no use as a master.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a node is not known to be a master.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    /// It could not be asked.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It took too long.
    #[error("{address} did not say within {} s what it is", CONFIRM_TIMEOUT.as_secs())]
    TimedOut {
        /// The node.
        address: String,
    },
    /// It says that it is something else.
    #[error("{address} is no master")]
    NotMaster {
        /// The node.
        address: String,
        /// What it is.
        role: Role,
    },
}

/// Asks a node whether it is a master; gives how far its history goes. A node that was cut off from the others says so
/// too: that the Sentinels name it ([`super::follow`]) and that it agrees are both needed.
pub async fn confirm_master(
    peer: &Peer,
    login: &Login,
    connection_name: &str,
) -> Result<Offset, NotConfirmed> {
    let address = || peer.address.clone();
    let exchange = async {
        let mut connection = Connection::open(peer, login, connection_name).await?;
        check_role(&mut connection).await
    };
    match timeout(CONFIRM_TIMEOUT, exchange).await {
        Err(_) => Err(NotConfirmed::TimedOut { address: address() }),
        Ok(Ok(Role::Master { offset })) => Ok(offset),
        Ok(Ok(role)) => Err(NotConfirmed::NotMaster { address: address(), role }),
        Ok(Err(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::credentials::Credentials;

    /// A node that answers these, one for each question, and then nothing.
    async fn node(answers: &'static [&'static str]) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        Peer { address: "announced:1".into(), dial: address }
    }

    #[tokio::test]
    async fn a_node_is_asked_what_it_is() {
        let credentials = Credentials::new(None, "hunter2".to_owned());
        let login = Login { credentials: Some(credentials), tls: None };
        let master = node(&["+OK\r\n", "+OK\r\n", "*3\r\n$6\r\nmaster\r\n:42\r\n*0\r\n"]).await;
        let offset = confirm_master(&master, &login, "test").await.unwrap();
        assert_eq!(offset, Offset(42));

        let sentinel = node(&["+OK\r\n", "*2\r\n$8\r\nsentinel\r\n*0\r\n"]).await;
        let error = confirm_master(&sentinel, &Login::default(), "test").await.unwrap_err();
        assert_eq!(error.to_string(), "announced:1 is no master");

        let refusing = node(&["-WRONGPASS no\r\n"]).await;
        let error = confirm_master(&refusing, &login, "test").await.unwrap_err();
        assert!(error.to_string().contains("AUTH was refused"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));

        let silent = node(&["+OK\r\n"]).await;
        let error = confirm_master(&silent, &Login::default(), "test").await.unwrap_err();
        assert_eq!(error.to_string(), "announced:1 did not say within 3 s what it is");
    }
}
