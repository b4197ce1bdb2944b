"""storm: services die at random under load; nobody sees an error, every byte is right, the disk is sound at the end."""
import hashlib
import re
import subprocess

from campaign import begin, storm
from framework import FULL, case

HASH = re.compile(r"^([0-9a-f]{64})  (/storm\S*)$", re.M)


def host_tree(t, image, folder):
    """Path -> sha256 of every file below the folder, as debugfs reads the image."""
    out = t.folder / "dumped"
    out.mkdir()
    subprocess.run(["/sbin/debugfs", "-R", f"rdump {folder} {out}", str(image)], capture_output=True, check=True)
    return {"/" + str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in out.rglob("*") if p.is_file()}


def storm_and_judge(t, image, machine, words):
    """A storm that keeps its files; e2fsck, and the contents as the host reads them."""
    figures = storm(t, machine, words + " --keep")
    inside = {path: digest for digest, path in HASH.findall(t.run(machine, "sha256 -r /storm0"))}
    t.run(machine, "sync")
    t.equal(machine.poweroff(), 0, "code of QEMU")
    t.image_is_sound(image)
    t.equal(host_tree(t, image, "/storm0"), inside, "files of the storm as the host reads them")
    t.check(inside, "the storm left no files")
    print(f"     {t.case.name}: {figures['injected']} injected, {figures['restarts']} restarts, {figures['ops']} "
          f"operations/s, 0 errors, 0 wrong bytes, {len(inside)} files equal on the host")
    return figures


@case(cores=[1, 2, 4, 8])
def storm_short(t, cores):
    image, campaign = begin(t, cores=cores)
    figures = storm_and_judge(t, image, campaign.machine, "10 --seed 1 --quiet" if cores == 4 else "4 --seed 1 --quiet")
    t.check(figures["injected"] >= 5 * (10 if cores == 4 else 4) * 0.6, f"{figures['injected']} faults are too few")


@case(guests=[0, 1])
def storm_without_interrupt_files(t, guests):
    """Domains beyond the guest interrupt files are reached through the kernels; nothing else changes."""
    image, campaign = begin(t, cores=4, guests=guests)
    storm_and_judge(t, image, campaign.machine, "4 --seed 6 --quiet")


@case(full=True, cores=[1, 2, 4, 8])
def storm_ten_minutes(t, cores):
    image, campaign = begin(t, cores=cores)
    storm_and_judge(t, image, campaign.machine, "600 --seed 2")


@case(service=["blk", "fs"])
def killed_under_load(t, service):
    """blk 10,000 times, fs 1,000 times (quick: 60 and 30)."""
    count = {"blk": 10000 if FULL else 60, "fs": 1000 if FULL else 30}[service]
    rate = {"blk": 60, "fs": 20}[service]
    image, campaign = begin(t)
    figures = storm_and_judge(t, image, campaign.machine,
                              f"3600 --only {service} --count {count} --rate {rate} --actions kill --seed 3 --quiet")
    t.check(figures["restarts"] >= count, f"{figures['restarts']} restarts of {count}")


@case(full=True)
def storm_costs_less_than_a_third(t):
    """One crash a second takes under 30 % of the throughput."""
    _, campaign = begin(t)
    calm = storm(t, campaign.machine, "20 --rate 0 --seed 4 --quiet")
    stormy = storm(t, campaign.machine, "20 --rate 1 --seed 4 --quiet")
    print(f"     {t.case.name}: {calm['ops']} operations/s calm, {stormy['ops']} at one crash a second")
    t.check(stormy["ops"] > 0.7 * calm["ops"], f"{stormy['ops']} of {calm['ops']} operations/s")
