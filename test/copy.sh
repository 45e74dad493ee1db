# shellcheck shell=bash
# A server with another library of ours, beside the installed one. Sourced, with PG_CONFIG set.

# copy_installation FOLDER LIBRARY: the installation once more, at the same place within a folder, but with another library.
copy_installation() {
	local folder=$1 library=$2 bin lib share
	bin=$($PG_CONFIG --bindir) lib=$($PG_CONFIG --pkglibdir) share=$($PG_CONFIG --sharedir)
	mkdir -p "$folder$bin" "$folder$lib" "$(dirname "$folder$share")"
	cp "$bin"/* "$folder$bin/"
	ln -s "$lib"/* "$folder$lib/"
	ln -s "$share" "$folder$share"
	rm -f "$folder$lib/smsflow.so"
	cp "$library" "$folder$lib/smsflow.so"
}

# watched_installation FOLDER LIBRARY: such a copy, whose server runs as watched.sh.
watched_installation() {
	local bin
	bin=$1$($PG_CONFIG --bindir)
	copy_installation "$1" "$2"
	mv "$bin/postgres" "$bin/postgres.real"
	cp test/watched.sh "$bin/postgres"
}
