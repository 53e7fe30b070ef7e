//! Rank and world size as the launcher says them. Distribution is the host's: nothing here talks to anybody.

use crate::error::{Code, Error, Result};

/// This process's place among those that the launcher started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub rank: u32,
    pub world_size: u32,
    /// Among the processes of this machine.
    pub local_rank: u32,
    pub local_world_size: u32,
    /// `torchrun`, `openmpi`, `mpich` or `slurm`.
    pub launcher: &'static str,
    /// What the processes of this launch share and no others have, where the launcher has such a thing.
    pub run_id: Option<String>,
}

/// The variables of one launcher.
struct Launcher {
    name: &'static str,
    rank: &'static str,
    world_size: &'static str,
    local_rank: &'static [&'static str],
    local_world_size: &'static [&'static str],
    /// The first group of which all are set makes the run id.
    run: &'static [&'static [&'static str]],
}

/// The one that is nearest to the program comes first: torchrun runs under Slurm, not the other way round.
const LAUNCHERS: &[Launcher] = &[
    Launcher {
        name: "torchrun",
        rank: "RANK",
        world_size: "WORLD_SIZE",
        local_rank: &["LOCAL_RANK"],
        local_world_size: &["LOCAL_WORLD_SIZE"],
        run: &[&["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT"]],
    },
    Launcher {
        name: "openmpi",
        rank: "OMPI_COMM_WORLD_RANK",
        world_size: "OMPI_COMM_WORLD_SIZE",
        local_rank: &["OMPI_COMM_WORLD_LOCAL_RANK"],
        local_world_size: &["OMPI_COMM_WORLD_LOCAL_SIZE"],
        run: &[&["PMIX_NAMESPACE"], &["OMPI_MCA_ess_base_jobid"]],
    },
    Launcher {
        name: "mpich",
        rank: "PMI_RANK",
        world_size: "PMI_SIZE",
        local_rank: &["MPI_LOCALRANKID"],
        local_world_size: &["MPI_LOCALNRANKS"],
        run: &[&["PMI_JOBID"], &["HYDRA_JOBID"]],
    },
    Launcher {
        name: "slurm",
        rank: "SLURM_PROCID",
        world_size: "SLURM_NTASKS",
        local_rank: &["SLURM_LOCALID"],
        local_world_size: &["SLURM_NTASKS_PER_NODE"],
        run: &[&["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"], &["SLURM_JOB_ID", "SLURM_STEP_ID"]],
    },
];

impl World {
    /// What torchrun, Open MPI, MPICH (and others with PMI) or Slurm set in the environment; `NotFound` where
    /// there is none of them, `InvalidArgument` for variables that make no sense.
    pub fn detect() -> Result<World> {
        World::from(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<World> {
        let launcher = LAUNCHERS
            .iter()
            .find(|launcher| variable(launcher.rank).is_some() && variable(launcher.world_size).is_some());
        let Some(launcher) = launcher else {
            let names: Vec<_> = LAUNCHERS.iter().map(|l| format!("{} ({})", l.rank, l.name)).collect();
            let message = format!("no launcher's variables are set; looked for {}", names.join(", "));
            return Err(Error::new(Code::NotFound, message)
                .with_hint("start the program with one of them, or give rank and world size"));
        };
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => text.trim().parse::<u32>().map(Some).map_err(|_| {
                Error::new(Code::InvalidArgument, format!("{name} is {text:?}; expected a number"))
            }),
        };
        let first = |names: &[&str]| names.iter().find_map(|name| number(name).transpose()).transpose();
        let rank = number(launcher.rank)?.unwrap_or(0);
        let world_size = number(launcher.world_size)?.unwrap_or(1);
        if rank >= world_size {
            let message = format!(
                "{} is {rank}, but {} is {world_size}; expected a rank below the world size",
                launcher.rank, launcher.world_size
            );
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let run = launcher.run.iter().find_map(|group| {
            let values: Option<Vec<String>> = group.iter().map(|name| variable(name)).collect();
            values.map(|values| format!("{}:{}", launcher.name, values.join("/")))
        });
        Ok(World {
            rank,
            world_size,
            local_rank: first(launcher.local_rank)?.unwrap_or(0),
            local_world_size: first(launcher.local_world_size)?.unwrap_or(1),
            launcher: launcher.name,
            run_id: run,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(set: &[(&str, &str)]) -> Result<World> {
        World::from(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn c1_launchers_are_recognised() {
        let torch = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("TORCHELASTIC_RUN_ID", "none"),
            ("TORCHELASTIC_RESTART_COUNT", "0"),
            ("MASTER_ADDR", "host"),
            ("MASTER_PORT", "29500"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        let found = world(&torch).unwrap();
        assert_eq!((found.rank, found.world_size, found.local_rank, found.local_world_size), (3, 4, 1, 2));
        assert_eq!(found.run_id.as_deref(), Some("torchrun:none/0/host/29500"));
        let found =
            world(&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2"), ("PMIX_NAMESPACE", "j@1")]);
        assert_eq!(found.unwrap().run_id.as_deref(), Some("openmpi:j@1"));
        let found = world(&[("PMI_RANK", "1"), ("PMI_SIZE", "2")]).unwrap();
        assert_eq!((found.launcher, found.run_id), ("mpich", None));
        let slurm =
            [("SLURM_PROCID", "5"), ("SLURM_NTASKS", "8"), ("SLURM_JOB_ID", "77"), ("SLURM_STEP_ID", "0")];
        assert_eq!(world(&slurm).unwrap().run_id.as_deref(), Some("slurm:77/0"));
        assert_eq!(world(&[]).unwrap_err().code(), Code::NotFound);
        assert_eq!(world(&[("RANK", "x"), ("WORLD_SIZE", "2")]).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(world(&[("RANK", "2"), ("WORLD_SIZE", "2")]).unwrap_err().code(), Code::InvalidArgument);
    }
}
