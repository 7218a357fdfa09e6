/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The parts of the kernel's own structures that the tracing program reads; where they lie in the running kernel is told by
 * its BTF (CO-RE). No more of them than that: names are the kernel's.
 * Invariant: nothing here is dereferenced but through kudo_read(), or from the program's own arguments. */
#ifndef KUDO_SKB_BPF_H
#define KUDO_SKB_BPF_H

#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
struct kudo_possible_net { /* the kernel's has no name but possible_net_t */
	struct net *net;
};
struct net_device {
	int ifindex;
	struct kudo_possible_net nd_net;
};
struct dst_entry {
	struct net_device *dev;
};
struct kudo_atomic { /* atomic_t, likewise */
	int counter;
};
struct kudo_atomic64 {
	long long counter;
};
struct sock_common {
	struct kudo_possible_net skc_net;
	unsigned char skc_state;
	struct kudo_atomic64 skc_cookie;
};
struct socket {
	short type;
};
struct inode {
	unsigned long i_ino;
};
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};
struct kudo_sock_backlog { /* without a name in the kernel */
	struct kudo_atomic rmem_alloc;
};
struct sock {
	struct sock_common __sk_common;
	struct kudo_sock_backlog sk_backlog;
	int sk_rcvbuf;
	__u16 sk_protocol;
	struct socket *sk_socket;
};
struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
};
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned long _skb_refdst;
	unsigned int len;
	__u32 priority;
	int skb_iif;
	__u32 mark;
	__be16 protocol;
	__u16 network_header;
	__u16 mac_header;
	unsigned int tail; /* sk_buff_data_t, an offset on 64-bit machines */
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};

#pragma clang attribute pop

/* include/linux/skbuff.h, include/net/dst.h, include/net/tcp_states.h: the same in all kernels from 5.10 on. */
#define KUDO_SKB_DST_PTRMASK (~1ul)
#define KUDO_SKB_NO_HEADER 0xffffu
#define KUDO_TCP_TIME_WAIT 6
#define KUDO_TCP_NEW_SYN_RECV 12

/* A field wherever `pointer` points to, which may be nowhere: 0 then. */
#define kudo_read(to, pointer, field)                                                                                  \
	do {                                                                                                           \
		if (bpf_probe_read_kernel(&(to), sizeof(to), &(pointer)->field) != 0)                                  \
			(to) = 0;                                                                                      \
	} while (0)

#endif /* KUDO_SKB_BPF_H */
