#!/bin/sh
# Names the certificates of this package in the list of ca-certificates, drops those that an older version had, and
# leaves alone what an administrator switched off (a line that begins with "!").
set -e

LIST=/etc/ca-certificates.conf
FOLDER=/usr/share/ca-certificates

if [ "$1" = configure ]; then
    [ -e "$LIST" ] || : > "$LIST"
    new=$(mktemp "$LIST.XXXXXX")
    chmod 644 "$new"
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line#!}
        case "$name" in
            @NAME@/*) [ -e "$FOLDER/$name" ] || continue ;;
        esac
        printf '%s\n' "$line"
    done < "$LIST" > "$new"
    for file in "$FOLDER"/@NAME@/*.crt; do
        name=@NAME@/${file##*/}
        grep -qxF -e "$name" -e "!$name" "$new" || printf '%s\n' "$name" >> "$new"
    done
    mv "$new" "$LIST"
    dpkg-trigger update-ca-certificates
fi
