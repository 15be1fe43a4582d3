# Runs in the guest: check.sh brief|whole - requests through the director, and whole: the program's tests on this kernel.
echo "Linux $(uname -r)"
bash ./requests.sh dr tun || exit
[ "$1" = whole ] || exit 0

./test_run && WVS_FUZZ_CASES=5000 ./differential && WVS_KERNEL_TUNNELS=1 ./traffic
