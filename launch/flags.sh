# shellcheck shell=bash
# Parses the launchers' flags; sourced. --some-flag VALUE or --some-flag=VALUE sets $some_flag, and
# words after -- go to ${extra[@]}, which command.sh reads. Bad input gives one line on standard error and exit code 2,
# before anything starts.

# shellcheck disable=SC2034  # read by the scripts
launch=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) extra=()
given=" "
dry_run=0
config=

die() {
  local folder=${0%/*}
  echo "${folder##*/}/${0##*/}: $*" >&2
  exit 2
}

# Local variables begin with _, so that they cannot clash with a flag.

# parse_flags "NAMES WITH A VALUE" "NAMES WITHOUT" ARGUMENTS...; $short_x names the long form of -x.
parse_flags() {
  local _with_value=" $1 " _without=" $2 " _word _name _variable _value
  shift 2
  while (($#)); do
    _word=$1
    shift
    case $_word in
      --)
        # shellcheck disable=SC2034
        extra=("$@")
        return
        ;;
      -h | --help) usage && exit 0 ;;
      --*) _name=${_word%%=*} ;;
      -[a-z]) _name=short_${_word#-} && _name=--${!_name-} ;;
      *) die "there is no argument '$_word'; arguments of the command come after --" ;;
    esac
    _variable=${_name#--}
    _variable=${_variable//-/_}
    [[ $_variable =~ ^[a-z][a-z0-9_]*$ ]] || die "there is no flag $_word: see --help"
    if [[ $_without == *" $_variable "* ]]; then
      [[ $_word != *=* ]] || die "$_name takes no value"
      _value=1
    elif [[ $_with_value == *" $_variable "* ]]; then
      if [[ $_word == --*=* ]]; then
        _value=${_word#*=}
      else
        if ((! $#)) || _is_flag "$1" "$_with_value$_without"; then die "$_name needs a value"; fi
        _value=$1
        shift
      fi
      [[ -n $_value && $_value != *$'\n'* ]] || die "$_name needs a value of one line"
    else
      die "there is no flag $_word: see --help"
    fi
    printf -v "$_variable" '%s' "$_value"
    given+="$_variable "
  done
}

# Succeeds if a word is a flag of the script, and not a value that begins with dashes.
_is_flag() {
  local name=${1%%=*}
  name=${name#--}
  [[ $1 == -- || $1 == --* && " $2 " == *" ${name//-/_} "* ]]
}

# Prints the comment at the top of the script.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

is_given() { [[ $given == *" $1 "* ]]; }

# positive NAME... / natural NAME...: checks for whole numbers from 1, or from 0.
positive() { local _one; for _one in "$@"; do _number "$_one" 1; done; }
natural() { local _one; for _one in "$@"; do _number "$_one" 0; done; }

_number() {
  if [[ ! ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((${!1} < $2)); then
    die "$(_flag "$1") '${!1}' is not a whole number of at least $2"
  fi
}

# matches NAME REGEX WHAT: checks that the flag's value is WHAT.
matches() { [[ ${!1} =~ ^($2)$ ]] || die "$(_flag "$1") '${!1}' is not $3"; }

# one_of NAME CHOICE...: checks that the flag's value is one of the choices.
one_of() {
  local _choice
  for _choice in "${@:2}"; do [[ ${!1} != "$_choice" ]] || return 0; done
  die "$(_flag "$1") '${!1}' is none of: ${*:2}"
}

# required NAME...: checks that flags are given; a dry run uses the name as a placeholder.
required() {
  local _one _shown
  for _one in "$@"; do
    [[ -z ${!_one} ]] || continue
    ((dry_run)) || die "$(_flag "$_one") is missing: see --help"
    _shown=$(tr '[:lower:]' '[:upper:]' <<<"$_one")
    echo "${0##*/}: $(_flag "$_one") is not given; shown as $_shown" >&2
    printf -v "$_one" '%s' "$_shown"
  done
}

# Checks that the recipe of --config F[:ARG] is a file here, or a dry run's placeholder.
recipe_exists() {
  local file=$config
  [[ -f $file ]] || file=${config%:*}
  [[ $config == CONFIG && $dry_run == 1 || -f $file ]] || die "--config $config: there is no file $file"
}

absolute() { case $1 in /* | *://*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

_flag() { echo "--${1//_/-}"; }

# Prints words on one line, quoted for the shell.
words() {
  local word line='' quote="'" escaped="'\\''"
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'${word//"$quote"/"$escaped"}'"
    line+="$word "
  done
  echo "${line% }"
}

# Runs a command, or prints it with --dry-run.
act() {
  if ((dry_run)); then words "$@"; else "$@"; fi
}

needs_program() { ((dry_run)) || command -v "$1" >/dev/null || die "$1 is not installed here"; }
