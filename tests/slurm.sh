#!/usr/bin/env bash
# A whole `zerochain run chain --profile slurm` on Debian's Slurm, with this machine as the cluster.
#
#     tests/slurm.sh FOLDER        as root, in a container or virtual machine; not part of CI
#
# It installs slurm-wlm and munge, and starts munged, slurmctld and slurmd with settings, sockets and
# logs in FOLDER; while it runs, /etc/slurm/slurm.conf is a link there, as jobs of
# Snakemake's plugin lose the variable SLURM_CONF. Slurm has no accounting, as Debian installs it. A small
# demonstration corpus then goes through the chain, each step as a job; the jobs are listed, and the
# same run again has nothing to do. The daemons end with the script.
#
# `zerochain` with the extras demo, report and slurm is the command on PATH, or $ZEROCHAIN.
set -euo pipefail
[ $# = 1 ] && [ "$(id -u)" = 0 ] || { sed -n '2,12s/^# \?//p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
read -ra zerochain <<<"${ZEROCHAIN:-zerochain}"

if ! command -v slurmctld || ! command -v munged; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends slurm-wlm munge
fi

host=$(hostname -s)
cores=$(getconf _NPROCESSORS_ONLN)
settings=$folder/slurm
mkdir -p "$settings/state" "$settings/spool"
chmod 755 "$settings"
conf=/etc/slurm/slurm.conf
[ ! -e $conf ] || { echo "Error: $conf is there: this machine has a Slurm of its own" >&2; exit 1; }
cat >"$settings/slurm.conf" <<END
ClusterName=one-machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$settings/munge.socket
StateSaveLocation=$settings/state
SlurmdSpoolDir=$settings/spool
SlurmctldPidFile=$settings/slurmctld.pid
SlurmdPidFile=$settings/slurmd.pid
SlurmctldLogFile=$settings/slurmctld.log
SlurmdLogFile=$settings/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge=7200
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
END

daemons=()
stop() {
    for daemon in "${daemons[@]}"; do kill "$daemon" 2>/dev/null || true; done
    rm -f $conf
    wait
}
trap stop EXIT
alive() {
    for daemon in "${daemons[@]}"; do
        kill -0 "$daemon" || { tail -n 5 "$settings"/*.err "$settings"/*.log >&2; exit 1; }
    done
    sleep 0.5
}
mkdir -p /etc/slurm
rm -f "$settings/munge.key" "$settings/munge.socket"
ln -sf "$settings/slurm.conf" $conf
(umask 077 && head -c 1024 /dev/urandom >"$settings/munge.key")
munged --foreground --force --key-file="$settings/munge.key" --socket="$settings/munge.socket" \
    --pid-file="$settings/munged.pid" --log-file="$settings/munged.log" \
    --seed-file="$settings/munged.seed" 2>"$settings/munged.err" &
daemons+=($!)
until [ -S "$settings/munge.socket" ]; do alive; done
slurmctld -D -c 2>"$settings/slurmctld.err" &
daemons+=($!)
slurmd -D -N "$host" 2>"$settings/slurmd.err" &
daemons+=($!)
until [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; do alive; done
sbatch --version
sinfo --Node --long

"${zerochain[@]}" corpus demo --pairs 70 --out "$folder/corpora"
chain() {
    "${zerochain[@]}" run chain --out "$folder/run" --set corpus="$folder/corpora/es" \
        --set voice=es-f1 --set protocol=phone \
        --set systems='[{units: 32, stride: 1}, {units: 32, stride: 2}]' \
        --set inverter.units=32 --set inverters.convnext=null \
        --set inverters.code2spec='train --width 16 --steps 100 --prosody-steps 20' \
        --set speaker_steps=30 --profile slurm -- --max-threads "$cores" "$@"
}
began=$SECONDS
chain --slurm-keep-successful-logs
echo "The chain took $((SECONDS - began)) s. Its jobs:"
squeue --states=all --sort=i --format='%6i %10T %3C %7m %10l %10M %k'
[ -s "$folder/run/report/index.html" ]
[ "$(squeue --states=all --noheader --format=%T | sort -u)" = COMPLETED ]
chain 2>&1 | grep "Nothing to be done"
