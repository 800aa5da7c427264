// TLS records of what a connection sends (RFC 8446 §5.1, RFC 5246 §6.2): their headers are in the
// clear, and say where application data begins and ends.
//
//     segment ─▶ scan_records()  is there data in it, where do its records end?
//             ─▶ begins_burst()  is it the first data since the server has answered?
//             ─▶ note_records()  when the segment leaves
//
// A record's header may be cut in two by segments; then the records are lost until the next burst,
// which begins with one.
#ifndef SLUICE_RECORDS_BPF_H
#define SLUICE_RECORDS_BPF_H

#include "handshake.bpf.h"

enum {
	MAX_RECORDS = 32, // in a segment; more are many short ones, and taken for data
	// A TLS 1.3 Finished is 53 or 69 bytes as a record body (SHA-256 or SHA-384), and looks
	// like application data; so do alerts, and HTTP/2's PING and WINDOW_UPDATE. A request is
	// longer: its Authorization header alone is.
	SHORT_RECORD_BYTES = 80,
	// So much of short records may leave between two bursts; more is data, whoever cuts it up.
	SHORT_BYTES_MOST = 2048,
	RECORD_TAG_BYTES = 16, // of the ciphers of TLS 1.3 (RFC 8446 appendix B.4)
};

struct records {
	__u32 end;         // sequence number behind its last record, which may end later
	__u32 data_bytes;  // of its application data records, as far as they are in the segment
	__u32 overhead;    // of these, what is no plaintext at least
	__u32 short_bytes; // of those that are short
	__u32 n_short;
	__u8 has_data;     // application data, short records aside
	__u8 ends_in_data; // its last record is data
	__u8 lost;         // `end` is a guess
};

struct scan {
	struct __sk_buff *skb;
	struct records *records;
	__u32 header_bytes, payload_bytes;
	__u32 at; // in the payload
	__u32 stopped;
};

// The record that begins at scan->at. A loop of the verifier's own, which it checks once: unrolled
// it would be too much for it.
static long scan_record(__u32 index, void *data)
{
	struct scan *scan = data;
	struct records *r = scan->records;
	__u32 left = scan->payload_bytes - scan->at, length;
	struct record record;

	if (scan->at >= scan->payload_bytes)
		return 1;
	if (bpf_skb_load_bytes(scan->skb, scan->header_bytes + scan->at, &record, sizeof(record)) ||
	    record.version[0] != 3 || record.type < TLS_CHANGE_CIPHER_SPEC ||
	    record.type > TLS_APPLICATION_DATA) {
		scan->stopped = 1;
		return 1;
	}
	length = record.length[0] << 8 | record.length[1];
	r->ends_in_data = 0;
	if (record.type == TLS_APPLICATION_DATA) {
		r->data_bytes += length < left ? length : left;
		r->overhead += RECORD_TAG_BYTES;
		if (length <= SHORT_RECORD_BYTES) {
			r->short_bytes += length;
			r->n_short++;
		} else {
			r->has_data = r->ends_in_data = 1;
		}
	}
	scan->at += TLS_RECORD_BYTES + length;
	return 0;
}

static __always_inline void lose_records(const struct packet *p, struct records *r)
{
	r->lost = 1;
	r->end = p->seq + p->payload_bytes;
	r->has_data |= p->payload_bytes > SHORT_RECORD_BYTES + TLS_RECORD_BYTES;
}

// New data, of a flow whose ClientHello was seen.
static __always_inline void scan_records(struct __sk_buff *skb, const struct packet *p,
					 const struct sluice_flow *flow, struct records *r)
{
	__s32 ahead = flow->record_end - p->seq; // bytes of a record that began before
	struct scan scan = {.skb = skb,
			    .records = r,
			    .header_bytes = p->header_bytes,
			    .payload_bytes = p->payload_bytes,
			    .at = ahead};

	if (flow->flags & SLUICE_FLOW_RECORDS_LOST || ahead < 0) {
		lose_records(p, r);
		return;
	}
	r->ends_in_data = !!(flow->flags & SLUICE_FLOW_RECORD_DATA);
	if (ahead && r->ends_in_data) {
		r->has_data = 1;
		r->data_bytes = scan.at < p->payload_bytes ? scan.at : p->payload_bytes;
	}
	bpf_loop(MAX_RECORDS, scan_record, &scan, 0);
	r->end = p->seq + scan.at;
	if (scan.stopped || scan.at < p->payload_bytes)
		lose_records(p, r);
}

// Session tickets answer the handshake and not a request, and an upload gets WINDOW_UPDATEs.
static __always_inline int is_answered(const struct sluice_flow *flow, const struct packet *p)
{
	__u32 answer = p->ack - flow->burst_ack;

	if (answer >= (flow->burst == 1 ? SLUICE_FIRST_ANSWER_BYTES : SLUICE_ANSWER_BYTES))
		return 1;
	return answer >= SLUICE_SHORT_ANSWER_BYTES &&
	       bpf_ktime_get_ns() - flow->burst_ns >= SLUICE_PAUSE_NS;
}

// Whether the segment, which has data, begins a burst. Asked again for a segment that was kept.
static __always_inline int begins_burst(const struct sluice_flow *flow, const struct packet *p)
{
	if (!flow->burst)
		return 1;
	return p->seq != flow->burst_seq && is_answered(flow, p);
}

static __always_inline void begin_burst(struct sluice_flow *flow, const struct packet *p)
{
	flow->burst++;
	flow->burst_seq = p->seq;
	flow->burst_ack = p->ack;
	flow->burst_ns = bpf_ktime_get_ns();
	flow->short_bytes = 0;
	flow->flags &= ~SLUICE_FLOW_UNSEEN;
	if (flow->flags & SLUICE_FLOW_RECORDS_LOST) { // it begins with a record
		flow->flags &= ~(SLUICE_FLOW_RECORDS_LOST | SLUICE_FLOW_RECORD_DATA);
		flow->record_end = p->seq;
	}
}

// How much of what the probes have told of has left. It may run ahead by what records have besides
// their tags, and is exact again whenever all has left.
static __always_inline void note_told(struct sluice_flow *flow, const struct records *r)
{
	__u64 told = flow->told_end;

	if (r->lost)
		told = flow->write_end;
	else if (r->data_bytes > r->overhead)
		told += r->data_bytes - r->overhead;
	flow->told_end = told < flow->write_end ? told : flow->write_end;
}

// The segment leaves.
static __always_inline void note_records(struct sluice_flow *flow, const struct packet *p,
					 const struct records *r)
{
	note_told(flow, r);
	flow->record_end = r->end;
	flow->data_bytes += r->data_bytes;
	flow->short_bytes += r->short_bytes;
	flow->flags &= ~(SLUICE_FLOW_RECORD_DATA | SLUICE_FLOW_RECORDS_LOST);
	if (r->lost)
		flow->flags |= SLUICE_FLOW_RECORDS_LOST;
	else if (r->ends_in_data)
		flow->flags |= SLUICE_FLOW_RECORD_DATA;
	if (r->has_data) {
		flow->burst_ack = p->ack;
		flow->burst_ns = bpf_ktime_get_ns();
	}
}

#endif
