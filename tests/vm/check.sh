# Runs in the guest: check.sh brief|whole - requests through the director, and whole: the program's tests on this kernel.
echo "Linux $(uname -r)"
bash ./requests.sh dr tun || exit
[ "$1" = whole ] || exit 0

bash ./requests.sh gre gre-checksum gue gue-checksum || exit
# nft is not in the guest: what it takes on is tested on the host.
./test_run && ./encapsulation && ./connections && WVS_FUZZ_CASES=5000 ./differential && WVS_KERNEL_TUNNELS=1 WVS_TRAFFIC_MB=3 ./traffic --skip nftables
