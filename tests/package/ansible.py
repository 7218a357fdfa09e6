#!/usr/bin/env python3
"""Runs the Ansible role of packaging/ansible in a container with systemd: ansible.py DEB

Installs, enables, changes, upgrades, corrects, disables and removes by it; each step first in check mode, which must say what would
change and change nothing, and a second time, which must change nothing.
"""
import pathlib
import shutil
import sys

from boot import boot, check, main, make_root
from package import bumped

ROLES = pathlib.Path(__file__).resolve().parents[2] / "packaging/ansible/roles"
PLAYBOOK = """- hosts: localhost
  gather_facts: false
  vars:
    kudo_agent_package: /share/package.deb
    kudo_agent_region: [ca]
    kudo_agent_enable: {interface: [host0]}
    kudo_agent_config: {fleet: acme}
    kudo_agent_run: {drop-folder: [/etc/kudo-agent/maps]}
    kudo_agent_keys:
      operator: |
        untrusted comment: minisign public key
        RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  roles: [kudo_agent]
"""
# play NAME [OPTION]...: shows "EXIT-STATUS changed|unchanged".
SCRIPT = r"""
export ANSIBLE_ROLES_PATH=/share/roles ANSIBLE_LOCALHOST_WARNING=0 ANSIBLE_NOCOLOR=1 ANSIBLE_DEPRECATION_WARNINGS=0 HOME=/root LC_ALL=C.UTF-8
while ! ip route show default | grep -q host0; do sleep 0.1; done
play() {
    local name=$1; shift
    ansible-playbook -i localhost, -c local /share/play.yml "$@" >/share/play.log 2>&1
    local status=$? how=unchanged
    grep -Eq '^localhost .* changed=[1-9]' /share/play.log && how=changed
    { echo "== $name"; cat /share/play.log; } >&2
    show "$name" "$status $how"
}
state() { kudo-agent status --json | python3 -c "import json, sys; state = json.load(sys.stdin); print(*(state[key] for key in sys.argv[1:]))" "$@"; }
play check.new --check
show check.new.package "$(dpkg-query -W -f '${db:Status-Status}' kudo-agent 2>/dev/null)"
play new
show new.state "$(state enabled regions teams mode)"
show new.service "$(systemctl is-active kudo-agent) $(systemctl is-enabled kudo-agent)"
kudo-agent status >&2; show new.status $?
play again
play again.check --check
teams='{"kudo_agent_enable": {"interface": ["host0"], "teams": true}}'
play teams.check --check -e "$teams"
show teams.check.state "$(state teams)"
play teams -e "$teams"
show teams.state "$(state teams)"
play teams.again -e "$teams"
mv /share/newer.deb /share/package.deb
play newer.check --check -e "$teams"
play newer -e "$teams"
show newer.version "$(dpkg-query -W -f '${Version}' kudo-agent | cut -c 1-2)"
play newer.again -e "$teams"
rm -rf /sys/fs/bpf/kudo-agent
play lost.check --check -e "$teams"
play lost -e "$teams"
kudo-agent status >&2; show lost.status $?
play lost.again -e "$teams"
play wrong.option -e '{"kudo_agent_enable": {"interface": ["host0"], "teems": true}}'
play wrong.region -e '{"kudo_agent_region": ["atlantis"]}'
play wrong.mode -e '{"kudo_agent_enable": {"mode": "enforce"}}'
show wrong.state "$(state enabled regions teams mode)"
play disabled.check --check -e kudo_agent_state=disabled
show disabled.check.state "$(state enabled)"
play disabled -e kudo_agent_state=disabled
kudo-agent status >&2; show disabled.status $?
play disabled.again -e kudo_agent_state=disabled
play absent.check --check -e kudo_agent_state=absent
show absent.check.package "$(dpkg-query -W -f '${db:Status-Status}' kudo-agent)"
play absent -e kudo_agent_state=absent
play absent.again -e kudo_agent_state=absent
show absent.left "$(ls -d /var/lib/kudo-agent /etc/kudo-agent /var/cache/kudo-agent /usr/bin/kudo-agent 2>/dev/null)"
"""
WANTED = {
    "check.new": "0 changed", "check.new.package": "", "new": "0 changed", "new.state": "True ['ca'] False prioritise",
    "new.service": "active enabled", "new.status": "0", "again": "0 unchanged", "again.check": "0 unchanged",
    "teams.check": "0 changed", "teams.check.state": "False", "teams": "0 changed", "teams.state": "True", "teams.again": "0 unchanged",
    "newer.check": "0 changed", "newer": "0 changed", "newer.version": "1:", "newer.again": "0 unchanged",
    "lost.check": "0 changed", "lost": "0 changed", "lost.status": "0", "lost.again": "0 unchanged",
    "wrong.option": "2 unchanged", "wrong.region": "2 unchanged", "wrong.mode": "2 unchanged",
    "wrong.state": "True ['ca'] True prioritise",
    "disabled.check": "0 changed", "disabled.check.state": "True", "disabled": "0 changed", "disabled.status": "3",
    "disabled.again": "0 unchanged",
    "absent.check": "0 changed", "absent.check.package": "installed", "absent": "0 changed", "absent.again": "0 unchanged",
    "absent.left": "",
}


def plays(package, folder):
    root = make_root(folder, package)
    shutil.move(bumped(package, folder), folder / "share/newer.deb")
    shutil.copytree(ROLES, folder / "share/roles")
    (folder / "share/play.yml").write_text(PLAYBOOK)
    found = boot(folder, root, SCRIPT, 1200)
    return check(folder, found, WANTED, "plays") if found else None


if __name__ == "__main__":
    sys.exit(main(__file__, sys.argv[1:], plays, ["ansible-playbook"]))
