# shellcheck shell=bash
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

# quoted TEXT: as a YAML string of one line, which is one of JSON.
quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//\$\{/\\u0024\{}
  printf '"%s"' "${text//$'\t'/\\t}"
}

# list TEXT...: as a YAML list of such strings.
list() {
  local text line=
  for text in "$@"; do line+=", $(quoted "$text")"; done
  printf '[%s]' "${line#, }"
}
