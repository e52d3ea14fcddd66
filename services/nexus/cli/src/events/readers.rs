//! `nexus readers`: who reads the feed.

use nexus_api::feed::v1::{DeleteReaderRequest, ListReadersRequest, Reader};
use nexus_api::time::duration_micros;
use nexus_cli_frame::{
    CliError, Exit, Output, Target,
    output::{self, more},
    table, time,
};

use super::client;
use crate::args::Readers;
use crate::client::Clients;

/// Shows or forgets readers of the feed.
pub(crate) async fn run(command: Readers, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let clients = Clients::new(target)?;
    let mut feed = client(target)?;
    match command {
        Readers::List { page } => {
            let request = ListReadersRequest {
                page_size: page.limit,
                page_token: page.page_token,
            };
            let answer = feed.list_readers(request).await;
            let answer = answer.map_err(|status| clients.error(status))?.into_inner();
            list(&answer.readers, &answer.next_page_token, output)?;
        }
        Readers::Delete { reader } => {
            let request = DeleteReaderRequest { reader: reader.clone() };
            let answer = feed.delete_reader(request).await;
            let deleted = answer.map_err(|status| clients.error(status))?.into_inner().deleted;
            let done = if deleted { "deleted" } else { "not there" };
            output.line(&format!("{reader}: {done}"))?;
        }
    }
    Ok(Exit::Ok)
}

fn list(readers: &[Reader], token: &str, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.value(&output::page("readers", readers, "nexus.feed.v1.Reader", token)?);
    }
    let now = time::now_micros();
    let row = |reader: &Reader| {
        let lag = reader.lag.as_ref().map(|lag| time::span(duration_micros(lag)));
        vec![
            reader.name.clone(),
            reader.lag_entries.to_string(),
            lag.unwrap_or_default(),
            reader.lost_entries.to_string(),
            time::ago(reader.acknowledge_time.as_ref(), now),
        ]
    };
    let rows: Vec<Vec<String>> = readers.iter().map(row).collect();
    output.raw(&table::render(
        &["READER", "BEHIND", "BY", "LOST", "ACKNOWLEDGED"],
        &rows,
    ))?;
    more(token);
    Ok(())
}
