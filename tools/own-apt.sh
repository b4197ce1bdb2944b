# For fetch-*.sh, which sources it with $target set, the folder that it fills: a folder $work in it, gone when the script ends, what was said
# in $log, and an apt of our own in $work. Package sources are derived from the machine's own
# and keep their mirror and their keyring; neither root nor another line in them is needed, nothing is installed, and the
# machine's apt state is not touched.

mkdir -p "$target"
target=$(realpath "$target")
work=$(mktemp -d -p "$target")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
log=$target/fetch.log
: >"$log"

# The machine's Debian sources as lines of one kind (deb or deb-src), suite and, where given, architecture.
derive_sources() { # kind suite [architecture]
	local kind=$1 suite=$2 only=${3:-} file
	mkdir -p "$work/parts" "$work/state/lists/partial" "$work/cache/archives/partial"
	rm -f "$work"/parts/*
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		awk -v kind="$kind" -v suite="$suite" -v only="$only" 'BEGIN { RS = ""; ORS = "\n\n" }
			/Suites:[^\n]*(bookworm|trixie|stable)/ && !/security/ && /Components:[^\n]*main/ {
				sub(/\nArchitectures:[^\n]*/, "")
				sub(/Types:[^\n]*/, "Types: " kind); sub(/Suites:[^\n]*/, "Suites: " suite)
				sub(/Components:[^\n]*/, "Components: main" (only ? "\nArchitectures: " only : "")); print }' "$file" \
			>"$work/parts/$(basename "$file")"
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		sed -nE '/security/d; s/^deb(-src)?[ \t]+(\[[^]]*\][ \t]+)?([^ \t]+)[ \t]+(bookworm|trixie|stable)[ \t].*\bmain\b.*/'"$kind"' \2\3 '"$suite"' main/p' \
			"$file" | sort -u >"$work/parts/$(basename "$file" .list).list"
	done
}

own_apt() { # apt-get or apt-cache, and its words
	local program=$1
	shift
	"$program" -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State="$work/state" \
		-o Dir::State::status="${status:-/var/lib/dpkg/status}" -o Dir::Cache="$work/cache" -o Acquire::Retries=2 \
		-o APT::Sandbox::User= -o Acquire::Languages=none "$@"
}

apt_get() { own_apt apt-get "$@"; }
