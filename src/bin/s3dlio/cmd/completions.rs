//! `completions` and `man`: what packages install beside the command.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Outcome, usage};
use clap::{Arg, ArgMatches, Command};
use clap_complete::aot::{Shell, generate};
use s3dlio::api::Error;
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };
pub const MAN: Verb = Verb { command: man_command, run: man };

fn command() -> Command {
    Command::new("completions")
        .about("Print completions for a shell")
        .after_help("Bash: s3dlio completions bash > ~/.local/share/bash-completion/completions/s3dlio")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(["bash", "elvish", "fish", "powershell", "zsh"])
                .help("For which shell"),
        )
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let name = args::string(given, "shell");
    let shell: Shell = name.parse().map_err(|_| usage(format!("there are no completions for {name}")))?;
    let mut text = Vec::new();
    generate(shell, &mut args::command(), "s3dlio", &mut text);
    app.out.bytes(&text)
}

fn man_command() -> Command {
    Command::new("man")
        .about("Print the manual page (roff)")
        .arg(Arg::new("verb").value_name("VERB").help("Of one verb: the page s3dlio-VERB instead of s3dlio"))
}

fn man(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let mut command = args::command();
    command.build();
    if let Some(verb) = given.get_one::<String>("verb") {
        let found = command.find_subcommand(verb).cloned();
        let found = found.ok_or_else(|| usage(format!("there is no verb {verb:?}")))?;
        command = found.name(format!("s3dlio-{verb}"));
    }
    let mut text = Vec::new();
    let unwritten = |e: std::io::Error| Error::from_io("cannot write the manual page", &e);
    clap_mangen::Man::new(command).render(&mut text).map_err(unwritten)?;
    app.out.bytes(&text)
}
