#!/usr/bin/env bash
# A Slurm cluster to try things on: munge, slurmctld and as many slurmd as nodes are wanted, all on this machine.
# The nodes, their CPUs, memory and GPUs are pretended; jobs are real. Nothing outside the folder is written, and a
# Slurm that is installed and running here is not touched: all commands follow SLURM_CONF (see `status`).
set -euo pipefail

usage() {
    cat <<'END'
usage: slurm-on-one-machine.sh up|down|status [options]
  --folder DIR   configuration, state, logs and pid files (default /tmp/regionzoo-slurm-<user id>; no other Slurm in it)
  --nodes N      pretended nodes (default 1)
  --cpus N       pretended CPUs of a node (default 16)
  --memory MB    pretended memory of a node (default 64000)
  --gpus N       pretended GPUs of a node (default 2); jobs see their numbers in CUDA_VISIBLE_DEVICES
  --install      apt-get install slurm-wlm and munge first, if they are missing (root, Debian or Ubuntu)
END
}

fail() {
    echo "error: $*" >&2
    exit 2
}

folder="/tmp/regionzoo-slurm-$(id -u)" nodes=1 cpus=16 memory=64000 gpus=2 install=no
action="${1:-}"
case "$action" in
    up | down | status) shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
esac
while (($#)); do
    case "$1" in
        --install) install=yes && shift && continue ;;
        --folder | --nodes | --cpus | --memory | --gpus) ;;
        *) fail "unknown option $1; see $0 --help" ;;
    esac
    (($# > 1)) || fail "$1 needs a value"
    [[ $1 == --folder || $2 =~ ^[0-9]+$ ]] || fail "$1 needs a whole number, not $2"
    printf -v "${1#--}" %s "$2"
    shift 2
done
((nodes >= 1 && cpus >= 1 && memory >= 1)) || fail "a cluster needs at least a node with a CPU and some memory"
folder="$(realpath -m "$folder")"
[[ $folder != *[[:space:]]* ]] || fail "$folder: Slurm's configuration allows no space in a path; choose another --folder"
export SLURM_CONF="$folder/slurm.conf"
# What a shell needs so that its Slurm commands talk to this cluster.
printf -v activate 'export SLURM_CONF=%q PATH=%q:"$PATH"' "$SLURM_CONF" "$folder/bin"
# Debian keeps the daemons here, which is not on every user's PATH.
export PATH="$PATH:/usr/sbin:/sbin"

# The process of a pid file, if it is the daemon that the file is for and not a later one with the same number.
process() { # NAME PIDFILE
    local pid
    pid="$(cat "$2" 2>/dev/null)" && [[ -n $pid ]] || return 1
    [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$1"* ]] && echo "$pid"
}

daemons() { # lines of: NAME PIDFILE, in the order in which they are stopped
    local file
    for file in "$folder"/slurmd.*.pid; do [[ -e $file ]] && echo "slurmd $file"; done
    [[ -e $folder/slurmctld.pid ]] && echo "slurmctld $folder/slurmctld.pid"
    [[ -e $folder/munged.pid ]] && echo "munged $folder/munged.pid"
    return 0
}

wait_for() { # SECONDS COMMAND...
    local tries=$(($1 * 5))
    shift
    while ((tries-- > 0)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    return 1
}

ended() { ! process "$@"; }

stop() {
    local name file pid
    # Jobs first: a slurmd that is ended leaves them running.
    if process slurmctld "$folder/slurmctld.pid" >/dev/null; then
        scancel --user="$(id -un)" || true
        wait_for 15 no_jobs || echo "warning: jobs are left: $(squeue --noheader --format='%i %T %k' | tr '\n' ';')" >&2
    fi
    while read -r name file; do
        if pid="$(process "$name" "$file")"; then
            kill "$pid" 2>/dev/null || true
            wait_for 10 ended "$name" "$file" || kill -9 "$pid" 2>/dev/null || true
        fi
        rm -f "$file"
    done < <(daemons)
}

no_jobs() { [[ -z $(squeue --noheader) ]]; }
ready() { [[ $(sinfo --noheader --Node --format=%t | grep -cE '^(idle|mix|alloc)$') == "$nodes" ]]; }
controller_answers() { scontrol ping | grep -q UP; }

# Ports that nobody listens on; the controller's and one a node.
free_ports() {
    local port=$((20000 + RANDOM % 20000)) found=()
    while ((${#found[@]} < nodes + 1)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || found+=("$port")
        port=$((port + 1))
    done
    echo "${found[@]}"
}

configure() {
    local ports node number gpu host command
    read -ra ports < <(free_ports)
    host="$(hostname -s)"
    mkdir -p "$folder/state"
    cat >"$SLURM_CONF" <<END
ClusterName=onemachine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
# Long enough for a job's end to be seen by squeue, which stands in for sacct here.
MinJobAge=600
# Otherwise a job that asks for no memory gets all of its node.
DefMemPerCPU=1000
KillWait=2
# Believe the sizes below, not the machine.
SlurmdParameters=config_overrides
GresTypes=gpu
END
    : >"$folder/gres.conf"
    for ((number = 1; number <= nodes; number++)); do
        node="node$number"
        mkdir -p "$folder/spool.$node"
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[number]} CPUs=$cpus RealMemory=$memory" \
            "State=UNKNOWN$( ((gpus > 0)) && echo " Gres=gpu:$gpus")" >>"$SLURM_CONF"
        ((gpus > 0)) || continue
        # Slurm wants device files, and root is needed to make some. A GPU is handed out, nothing computes on it.
        for ((gpu = 0; gpu < gpus; gpu++)); do ln -sf /dev/null "$folder/gpu$gpu"; done
        echo "NodeName=$node Name=gpu File=$folder/gpu[0-$((gpus - 1))]" >>"$folder/gres.conf"
    done
    # Snakemake's plugin takes SLURM_CONF away from the srun in its jobs, so commands of the folder's own put it back.
    mkdir -p "$folder/bin"
    for command in sbatch srun squeue scancel scontrol sinfo; do
        printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v "$command")" >"$folder/bin/$command"
        chmod +x "$folder/bin/$command"
    done
    echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >>"$SLURM_CONF"
}

start() {
    local number log
    head -c 128 /dev/urandom >"$folder/munge.key"
    chmod 600 "$folder/munge.key"
    # --force: the folder is closed to others, which munged, meant for all users of a machine, finds wrong.
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>"$folder/munged.err" \
        || fail "munged does not start: $(tail -n 1 "$folder/munged.err")"
    slurmctld -c 2>"$folder/slurmctld.err" || fail "slurmctld does not start; see $folder/slurmctld.log"
    wait_for 20 controller_answers || fail "slurmctld does not answer; see $folder/slurmctld.log"
    for ((number = 1; number <= nodes; number++)); do
        slurmd -N "node$number" 2>"$folder/slurmd.node$number.err" \
            || fail "slurmd of node$number does not start; see $folder/slurmd.node$number.log"
    done
    wait_for 30 ready || fail "the nodes do not become ready: $(sinfo --noheader --Node --format='%N %T %E' | tr '\n' ';')" \
        "see $folder/*.log"
}

case "$action" in
    up)
        if [[ $install == yes ]] && ! command -v slurmctld munged slurmd >/dev/null; then
            command -v apt-get >/dev/null || fail "--install needs apt-get; install Slurm and munge by hand"
            ((UID == 0)) || fail "--install needs root; ask for: apt-get install --no-install-recommends slurm-wlm munge"
            apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                slurm-wlm munge >&2 || fail "apt-get could not install slurm-wlm and munge"
        fi
        for command in munged slurmctld slurmd sbatch; do
            command -v "$command" >/dev/null || fail "no $command; --install, or: apt-get install slurm-wlm munge"
        done
        if process slurmctld "$folder/slurmctld.pid" >/dev/null; then
            fail "a cluster is up in $folder already; take it down first: $0 down --folder $folder"
        fi
        if [[ -d $folder && -n $(ls -A "$folder") && ! -e $folder/munge.key ]]; then
            fail "$folder holds other files; choose an empty --folder"
        fi
        mkdir -p -m 700 "$folder"
        [[ -O $folder ]] || fail "$folder belongs to somebody else; choose another --folder"
        stop
        configure
        trap stop ERR
        (start) || { stop && exit 2; }
        echo "$activate"
        ;;
    down)
        [[ -e $SLURM_CONF ]] || fail "no cluster in $folder; give the --folder that it was brought up with"
        stop
        rm -rf "$folder"/{bin,state,spool.*,gpu*,munge*,slurm*,gres.conf}
        rmdir "$folder" 2>/dev/null || true
        ;;
    status)
        [[ -e $SLURM_CONF ]] || fail "no cluster in $folder; bring one up first: $0 up"
        process slurmctld "$folder/slurmctld.pid" >/dev/null || fail "the cluster of $folder is down; see $folder/*.log"
        echo "$activate"
        sinfo --Node --format='%10N %8T %4c %8m %10G %E'
        squeue
        ;;
esac
