#!/usr/bin/env bash
# What the story needs to talk: HTTP as Okta does it, the database and the mail folder to look into.

# One request with the credentials of .run/okta.env. Sets STATUS and ANSWER.
# usage: call METHOD URL [BODY [CONTENT-TYPE]]
call() {
  local method=$1 url=$2 body=${3-} type=${4:-application/scim+json; charset=utf-8} said=()
  [[ -z $body ]] || said=(-H "Content-Type: $type" --data-binary "$body")
  # The key goes to curl through a pipe: arguments can be seen by everybody on the machine.
  ANSWER=$(curl -s -m 60 -X "$method" -H 'Accept: application/scim+json' -A 'Okta SCIM Client 1.0.0' "${said[@]}" \
    -K <(printf 'user = "%s:%s"\n' "$USERNAME" "$API_KEY") -w '\n%{http_code}' "$url") ||
    die "No answer from $url: does deploy/run still run?"
  STATUS=${ANSWER##*$'\n'}
  ANSWER=${ANSWER%$'\n'*}
}

# A value out of the last answer, by a jq filter.
answer() { jq -r "$1" <<<"$ANSWER" 2>/dev/null || true; }

# Ends the story unless the last answer has this status.
expect() {
  [[ $STATUS == "$1" ]] || die "That should have been answered $1, but it was $STATUS: $(answer '.detail // .' | head -c 300)"
}

# usage: sql QUERY [NAME=VALUE…]     the values stand in the query as :'NAME'
sql() {
  local query=$1 values=() pair
  shift
  for pair in "$@"; do values+=(-v "$pair"); done
  run_psql -X -q -At -F ' | ' -v ON_ERROR_STOP=1 "${values[@]}" <<<"$query"
}

# The password is taken out of the URL, since arguments can be seen by everybody on the machine.
run_psql() {
  local url=$DATABASE_URL
  if [[ $url =~ ^([a-z]+://[^:/@]+):([^@]*)@(.*)$ ]]; then
    PGPASSWORD=${BASH_REMATCH[2]} "$PSQL" "${BASH_REMATCH[1]}@${BASH_REMATCH[3]}" "$@"
  else
    "$PSQL" "$url" "$@"
  fi
}

# How many mails lie there for this address.
mails_to() { { grep -lis "^To:.*$1" "$MAIL"/*.eml || true; } | wc -l; }

mails_are() { [[ $(mails_to "$1") -eq $2 ]]; }

mail_subject() {
  { grep -liZs "^To:.*$1" "$MAIL"/*.eml || true; } | xargs -0 -r sed -n 's/^Subject: //p' | tr -d '\r'
}
