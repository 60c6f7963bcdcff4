# shellcheck shell=bash disable=SC2016
# Templates of YAML, sourced: ${NAME} stands for the variable NAME.

# fill FILE: prints it with every ${NAME} replaced. A placeholder alone on its line may stand for several lines, which
# take its indentation, or for none.
fill() {
  local line name value indent
  while IFS= read -r line; do
    if [[ $line =~ ^(\ *)\$\{([A-Z_]+)\}$ ]]; then
      indent=${BASH_REMATCH[1]}
      value=${!BASH_REMATCH[2]}
      if [[ -n $value ]]; then printf '%s\n' "$indent${value//$'\n'/$'\n'$indent}"; fi
      continue
    fi
    while [[ $line =~ \$\{([A-Z_]+)\} ]]; do
      name=${BASH_REMATCH[1]}
      # Values hold no placeholder: quoted() sees to it.
      line=${line/"\${$name}"/"${!name}"}
    done
    printf '%s\n' "$line"
  done <"$1"
}

# Replacements are variables: bash's versions differ on backslashes in them.
_backslash=\\ _quote='"' _newline=$'\n' _tab=$'\t' _placeholder='${' _expansion='$('

# quoted TEXT: as a YAML string of one line, which is one of JSON.
quoted() {
  local text=$1 escaped
  escaped=$_backslash$_backslash && text=${text//"$_backslash"/"$escaped"}
  escaped=$_backslash$_quote && text=${text//"$_quote"/"$escaped"}
  escaped=${_backslash}n && text=${text//"$_newline"/"$escaped"}
  escaped=${_backslash}t && text=${text//"$_tab"/"$escaped"}
  escaped="${_backslash}u0024{" && text=${text//"$_placeholder"/"$escaped"}
  printf '"%s"' "$text"
}

# list TEXT...: as a YAML list of such strings, for a container's command: Kubernetes replaces $(NAME) in those.
list() {
  local text line='' escaped='$$('
  for text in "$@"; do
    text=${text//"$_expansion"/"$escaped"}
    line+=", $(quoted "$text")"
  done
  printf '[%s]' "${line#, }"
}
