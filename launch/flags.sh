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

# parse_flags "NAMES THAT TAKE A VALUE" "NAMES THAT TAKE NONE" ARGUMENTS...; $short_x names the flag that -x stands for.
parse_flags() {
  local with_value=" $1 " without=" $2 " word name variable value
  shift 2
  while (($#)); do
    word=$1
    shift
    case $word in
      --)
        # shellcheck disable=SC2034
        extra=("$@")
        return
        ;;
      -h | --help) usage && exit 0 ;;
      --*) name=${word%%=*} ;;
      -[a-z]) name=short_${word#-} && name=--${!name-} ;;
      *) die "there is no argument '$word'; what the command is to get comes after --" ;;
    esac
    variable=${name#--}
    variable=${variable//-/_}
    [[ $variable =~ ^[a-z][a-z0-9_]*$ ]] || die "there is no flag $word: see --help"
    if [[ $without == *" $variable "* ]]; then
      [[ $word != *=* ]] || die "$name takes no value"
      value=1
    elif [[ $with_value == *" $variable "* ]]; then
      if [[ $word == --*=* ]]; then
        value=${word#*=}
      else
        if ((! $#)) || _is_flag "$1" "$with_value$without"; then die "$name needs a value"; fi
        value=$1
        shift
      fi
      [[ -n $value && $value != *$'\n'* ]] || die "$name needs a value of one line"
    else
      die "there is no flag $word: see --help"
    fi
    printf -v "$variable" '%s' "$value"
    given+="$variable "
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
positive() { local name; for name in "$@"; do _number "$name" 1; done; }
natural() { local name; for name in "$@"; do _number "$name" 0; done; }

_number() {
  if [[ ! ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((${!1} < $2)); then
    die "$(_flag "$1") '${!1}' is not a whole number of at least $2"
  fi
}

# matches NAME REGEX WHAT: the flag's value looks like WHAT.
matches() { [[ ${!1} =~ ^($2)$ ]] || die "$(_flag "$1") '${!1}' is not $3"; }

# one_of NAME CHOICE...
one_of() {
  local name=$1 choice
  shift
  for choice in "$@"; do [[ ${!name} != "$choice" ]] || return 0; done
  die "$(_flag "$name") '${!name}' is none of: $*"
}

# required NAME...: must be given; a dry run shows the name in its place.
required() {
  local name
  for name in "$@"; do
    [[ -z ${!name} ]] || continue
    ((dry_run)) || die "$(_flag "$name") is missing: see --help"
    echo "${0##*/}: $(_flag "$name") is not given; shown as ${name^^}" >&2
    printf -v "$name" '%s' "${name^^}"
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
  local word line=
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+~-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line+="$word "
  done
  echo "${line% }"
}

# Runs a command, or says which with --dry-run.
act() {
  if ((dry_run)); then words "$@"; else "$@"; fi
}

needs_program() { ((dry_run)) || command -v "$1" >/dev/null || die "$1 is not installed here"; }
