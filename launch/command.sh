# shellcheck shell=bash disable=SC2154
# The command that a launcher runs, in either form; sourced after flags.sh.
#
#     --config F[:ARG] --workdir D [-- FLAGS OF strata train]
#     -- strata COMMAND ...

# Set for every process by the launcher, or found by the scheduler.
_joining="coordinator_address num_processes process_id"

# read_command: sets ${command[@]}, $config and $workdir from the flags and the words after --.
# A command that cannot work is rejected here, before anything is submitted.
read_command() {
  local _name
  if ((!${#extra[@]})) || [[ ${extra[0]} == -* ]]; then
    required config workdir
    for _name in config workdir; do
      ! _has "$_name" ${extra[@]+"${extra[@]}"} || die "--$_name comes before --, or in -- strata train ..."
    done
    command=(strata train "--config=$config" "--workdir=$workdir" ${extra[@]+"${extra[@]}"})
  else
    [[ ${extra[0]} == strata ]] || die "after -- come strata COMMAND ... or flags of strata train, not '${extra[0]}'"
    command=("${extra[@]}")
    _check_name "${command[1]-}"
    for _name in config workdir; do _take "$_name"; done
  fi
  for _name in $_joining; do
    ! _has "$_name" "${command[@]}" || die "--$_name is set by the launcher, for each process"
  done
}

# one_process_unless_train N: rejects other commands than train in N processes; they do not join.
one_process_unless_train() {
  [[ $1 == 1 || ${command[1]} == train ]] ||
    die "strata ${command[1]} runs in one process, not in $1: only strata train joins several"
}

# hosts_of TYPE: prints 1 for a slice of one host, which has up to 8 chips or TensorCores.
hosts_of() { if [[ $1 =~ ^v[0-9a-z]+-[1248]$ ]]; then echo 1; else echo several; fi; }

# change NAME VALUE: gives --NAME another value, in the command and in $NAME.
change() {
  local _at
  for ((_at = 2; _at < ${#command[@]}; _at++)); do
    case ${command[_at]} in
      "--$1="* | "-$1="*) command[_at]=--$1=$2 ;;
      "--$1" | "-$1") command[_at + 1]=$2 ;;
    esac
  done
  printf -v "$1" '%s' "$2"
}

# The names are those of pipeline/cli, so that a new command needs no change here.
_check_name() {
  local _known
  _known=$(sed -n '/^COMMANDS = {/,/^}/s/^    "\([a-z]*\)": (.*/\1/p' "$launch/../pipeline/cli/__init__.py" 2>/dev/null) || return 0
  [[ -z $_known || " ${_known//$'\n'/ } " == *" $1 "* && -n $1 ]] ||
    die "'strata $1' is no command: ${_known//$'\n'/, }"
}

# _take NAME: sets $NAME to the command's --NAME; a flag of the launcher may only repeat it.
_take() {
  local _at _found=''
  for ((_at = 2; _at < ${#command[@]}; _at++)); do
    case ${command[_at]} in
      "--$1="* | "-$1="*) _found=${command[_at]#*=} ;;
      "--$1" | "-$1") _found=${command[_at + 1]-} ;;
    esac
  done
  if is_given "$1" && [[ ${!1} != "$_found" ]]; then
    die "--$1 ${!1} and 'strata ${command[1]}' with --$1 '$_found': give it once, in the command"
  fi
  [[ -n $_found || ${command[1]} != train ]] || _has flagfile "${command[@]}" ||
    die "--$1 is missing in the command: strata train --config F --workdir D"
  printf -v "$1" '%s' "$_found"
}

# _has NAME WORD...: succeeds if the words contain the flag.
_has() {
  local _word
  for _word in "${@:2}"; do
    case $_word in "--$1" | "--$1="* | "-$1" | "-$1="*) return ;; esac
  done
  return 1
}
