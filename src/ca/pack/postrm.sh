#!/bin/sh
# Takes the certificates of this package out of the list of ca-certificates and out of the store.
set -e

LIST=/etc/ca-certificates.conf

if [ "$1" = remove ] || [ "$1" = purge ]; then
    if [ -e "$LIST" ]; then
        sed -i -e '\,^!\?@NAME@/,d' "$LIST"
    fi
    dpkg-trigger update-ca-certificates-fresh || true
fi
