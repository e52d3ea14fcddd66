//! Which command lines are understood.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_names_every_role() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("a command");
    let mut arguments = serve.get_arguments();
    let roles = arguments.find(|argument| argument.get_id().as_str() == "roles");
    let help = roles.and_then(clap::Arg::get_help).expect("a help").to_string();
    for entry in crate::roles::ALL {
        let name = serde_json::to_value(entry.name).expect("a value");
        let name = name.as_str().expect("a text");
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn common_lines_parse_and_wrong_ones_do_not() {
    for line in [
        "nexus run etl -p day=2026-01-01 --label team=data --watch --timeout 10m -o json",
        "nexus run -f etl.yaml --params - --wait",
        "nexus executions list --state FAILED --limit 5 --address http://h:1",
        "nexus execution get @last -o yaml",
        "nexus logs 0198abcd clean -f --attempt 2",
        "nexus apply -f a.yaml -f b --dry-run",
        "nexus workflows diff etl 1 2",
        "nexus completion zsh",
        "nexus serve --roles worker --set execution.address=http://h:1 --set log.format=json",
        "nexus health --local --config x.toml",
        "nexus config --listen 127.0.0.1:0",
        "nexus --namespace team-a executions list",
        "nexus dev --namespace team-a --namespace team-b",
    ] {
        Cli::try_parse_from(line.split(' ')).expect(line);
    }
    for line in [
        "nexus run",
        "nexus run etl -f x",
        "nexus logs x --attempt 2",
        "nexus run etl --timeout soon",
        "nexus run etl --namespace Team_A",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}
