#!/bin/sh
case "$1" in
    *alertmanager*) exec prometheus-alertmanager "$@" ;;
    *) exec prometheus "$@" ;;
esac
