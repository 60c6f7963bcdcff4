# shellcheck shell=bash
# Flags of the launchers, sourced: --some-flag VALUE or --some-flag=VALUE sets $some_flag, what follows -- is ${extra[@]}.
# Bad input is one line on standard error and exit code 2, before anything has started.

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

# Locals begin with _, so that a flag may have any name.

# parse_flags "NAMES THAT TAKE A VALUE" "NAMES THAT TAKE NONE" ARGUMENTS...; $short_x names the flag that -x stands for.
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
      *) die "there is no argument '$_word'; what the command is to get comes after --" ;;
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

# Whether a word is one of the script's own flags, rather than a value that happens to begin with dashes.
_is_flag() {
  local name=${1%%=*}
  name=${name#--}
  [[ $1 == -- || $1 == --* && " $2 " == *" ${name//-/_} "* ]]
}

# The comment at the top of the script.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

is_given() { [[ $given == *" $1 "* ]]; }

# positive NAME... / natural NAME...: whole numbers from 1, or from 0.
positive() { local _one; for _one in "$@"; do _number "$_one" 1; done; }
natural() { local _one; for _one in "$@"; do _number "$_one" 0; done; }

_number() {
  if [[ ! ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((${!1} < $2)); then
    die "$(_flag "$1") '${!1}' is not a whole number of at least $2"
  fi
}

# matches NAME REGEX WHAT: the flag's value looks like WHAT.
matches() { [[ ${!1} =~ ^($2)$ ]] || die "$(_flag "$1") '${!1}' is not $3"; }

# one_of NAME CHOICE...
one_of() {
  local _choice
  for _choice in "${@:2}"; do [[ ${!1} != "$_choice" ]] || return 0; done
  die "$(_flag "$1") '${!1}' is none of: ${*:2}"
}

# required NAME...: must be given; a dry run shows the name in its place.
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

# The recipe of --config F[:ARG] must be a file here. Names of a dry run's placeholders pass.
recipe_exists() {
  local file=$config
  [[ -f $file ]] || file=${config%:*}
  [[ $config == CONFIG && $dry_run == 1 || -f $file ]] || die "--config $config: there is no file $file"
}

absolute() { case $1 in /* | *://*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

_flag() { echo "--${1//_/-}"; }

# Words as the shell takes them, on one line.
words() {
  local word line='' quote="'" escaped="'\\''"
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'${word//"$quote"/"$escaped"}'"
    line+="$word "
  done
  echo "${line% }"
}

# Runs a command, or says which with --dry-run.
act() {
  if ((dry_run)); then words "$@"; else "$@"; fi
}

needs_program() { ((dry_run)) || command -v "$1" >/dev/null || die "$1 is not installed here"; }
