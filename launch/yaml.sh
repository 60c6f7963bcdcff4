# shellcheck shell=bash disable=SC2016
# Fills templates of YAML, in which ${NAME} stands for the variable NAME; sourced.

# fill FILE: prints FILE with every ${NAME} replaced. A placeholder alone on its line may stand for
# several lines, which get its indentation, or for none.
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
      # quoted() ensures that values hold no placeholder.
      line=${line/"\${$name}"/"${!name}"}
    done
    printf '%s\n' "$line"
  done <"$1"
}

# Use variables for replacements: bash versions treat backslashes in them differently.
_backslash=\\ _quote='"' _newline=$'\n' _tab=$'\t' _placeholder='${' _expansion='$('

# quoted TEXT: prints TEXT as a one-line YAML string, in JSON's syntax.
quoted() {
  local text=$1 escaped
  escaped=$_backslash$_backslash && text=${text//"$_backslash"/"$escaped"}
  escaped=$_backslash$_quote && text=${text//"$_quote"/"$escaped"}
  escaped=${_backslash}n && text=${text//"$_newline"/"$escaped"}
  escaped=${_backslash}t && text=${text//"$_tab"/"$escaped"}
  escaped="${_backslash}u0024{" && text=${text//"$_placeholder"/"$escaped"}
  printf '"%s"' "$text"
}

# list TEXT...: prints a YAML list of such strings for a container's command, where Kubernetes
# would replace $(NAME).
list() {
  local text line='' escaped='$$('
  for text in "$@"; do
    text=${text//"$_expansion"/"$escaped"}
    line+=", $(quoted "$text")"
  done
  printf '[%s]' "${line#, }"
}
