set -euo pipefail
mkdir -p "$WHERE"
if [ "$REPOSITORY" = expci/expci ]; then
  cp -R "$STAGE_EXPCI/." "$WHERE"
  exit
fi
cd "$WHERE"
git init -q .
git remote add origin "$GITHUB_SERVER_URL/$REPOSITORY.git"
key="http.$GITHUB_SERVER_URL/.extraheader"
header="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$TOKEN" | base64 -w0)"
wanted=(--no-tags "--depth=$DEPTH")
if [ "$DEPTH" = 0 ]; then wanted=(--tags '+refs/heads/*:refs/remotes/origin/*'); fi
ref=${REF:-$GITHUB_REF}
case "$ref" in
  refs/* | ????????????????????????????????????????) ;;
  *) ref="refs/heads/$ref" ;;
esac
case "$ref" in
  refs/heads/*) name="refs/remotes/origin/${ref#refs/heads/}" ;;
  refs/pull/*) name="refs/remotes/${ref#refs/}" ;;
  *) name="refs/remotes/origin/wanted" ;;
esac
options=(${FILTER:+"--filter=$FILTER"}) specs=("+$ref:$name")
for part in "${wanted[@]}"; do
  case "$part" in -*) options+=("$part") ;; *) specs+=("$part") ;; esac
done
git -c "$key=$header" fetch -q "${options[@]}" origin "${specs[@]}"
case "$ref" in
  refs/heads/*) git -c "$key=$header" checkout -q --force -B "${ref#refs/heads/}" "$name" ;;
  *) git -c "$key=$header" checkout -q --force --detach "$name" ;;
esac
if [ "$PERSIST" = true ]; then git config --local "$key" "$header"; fi
