#!/usr/bin/env bash
# Helpers for deploy/story: HTTP requests like Okta's, database queries, and the mail directory.

# Sends one request with the credentials in .run/okta.env. Sets STATUS and ANSWER.
# usage: call METHOD URL [BODY [CONTENT-TYPE]]
call() {
  local method=$1 url=$2 body=${3-} type=${4:-application/scim+json; charset=utf-8} said=()
  [[ -z $body ]] || said=(-H "Content-Type: $type" --data-binary "$body")
  # Pass the key to curl through a pipe: all users of the machine can see arguments.
  ANSWER=$(curl -s -m 60 -X "$method" -H 'Accept: application/scim+json' -A 'Okta SCIM Client 1.0.0' "${said[@]}" \
    -K <(printf 'user = "%s:%s"\n' "$USERNAME" "$API_KEY") -w '\n%{http_code}' "$url") ||
    die "No response from $url. Check that deploy/run is still running."
  STATUS=${ANSWER##*$'\n'}
  ANSWER=${ANSWER%$'\n'*}
}

# A value of the last response, by a jq filter.
answer() { jq -r "$1" <<<"$ANSWER" 2>/dev/null || true; }

# Fails unless the last response has this status.
expect() {
  [[ $STATUS == "$1" ]] || die "Expected status $1, but got $STATUS: $(answer '.detail // .' | head -c 300)"
}

# usage: sql QUERY [NAME=VALUE…]     the query refers to the values as :'NAME'
sql() {
  local query=$1 values=() pair
  shift
  for pair in "$@"; do values+=(-v "$pair"); done
  run_psql -X -q -At -F ' | ' -v ON_ERROR_STOP=1 "${values[@]}" <<<"$query"
}

# Takes the password out of the URL, since all users of the machine can see arguments.
run_psql() {
  local url=$DATABASE_URL
  if [[ $url =~ ^([a-z]+://[^:/@]+):([^@]*)@(.*)$ ]]; then
    PGPASSWORD=${BASH_REMATCH[2]} "$PSQL" "${BASH_REMATCH[1]}@${BASH_REMATCH[3]}" "$@"
  else
    "$PSQL" "$url" "$@"
  fi
}

# The number of mails to this address.
mails_to() { { grep -lis "^To:.*$1" "$MAIL"/*.eml || true; } | wc -l; }

mails_are() { [[ $(mails_to "$1") -eq $2 ]]; }

mail_subject() {
  { grep -liZs "^To:.*$1" "$MAIL"/*.eml || true; } | xargs -0 -r sed -n 's/^Subject: //p' | tr -d '\r'
}
