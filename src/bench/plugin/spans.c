/* A QEMU TCG plugin that says which code ran how often between two marks.
 *
 * `mov r10, r10` (46d2) opens a region, `mov r11, r11` (46db) closes it; both do nothing on every Cortex-M, and
 * compilers do not write them. Per region, in order:
 *     code ID ADDRESS BYTES    a span of instructions that is new (hexadecimal; ends at a branch or a mark)
 *     span ID RUNS THROUGH     how often it ran, and how often the code right behind it ran next
 *     region UNALIGNED         the end: extra cycles that a Cortex-M4 takes for unaligned accesses
 * What an instruction costs is not decided here.
 *
 * Arguments: out=FILE. The declarations restate the part of QEMU's plugin interface that is used, so no header of
 * QEMU is needed. QEMU loads plugins whose `qemu_plugin_version` it still supports: API is 1 for QEMU 4.2 to 8.2 and
 * more for later ones. Build: cc -O2 -shared -fPIC -DAPI=1 -o libspans.so spans.c
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef API
#define API 1
#endif
#define EXPORT __attribute__((visibility("default")))
#define OPEN 0x46d2
#define CLOSE 0x46db
#define NO_REGISTERS 0
#define READ_AND_WRITE 3

typedef uint64_t plugin_id;
struct tb;
struct insn;
struct info {
    const char *target;
    struct {
        int least, now;
    } version;
};
typedef void (*exec_callback)(unsigned cpu, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct tb *);
extern struct insn *qemu_plugin_tb_get_insn(const struct tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct insn *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *, exec_callback, int, void *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *, exec_callback, int, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct insn *, void (*)(unsigned, uint32_t, uint64_t, void *), int, int,
                                             void *);
extern unsigned qemu_plugin_mem_size_shift(uint32_t);
#if API >= 3
extern size_t qemu_plugin_insn_data(const struct insn *, void *, size_t);
#else
extern const void *qemu_plugin_insn_data(const struct insn *);
#endif

EXPORT int qemu_plugin_version = API;

/* Code that runs from its first to its last instruction. */
struct span {
    uint64_t runs, through, start, end;
    unsigned id;
    bool shown, touched;
    uint8_t *bytes;
    size_t size;
};

static FILE *out;
static bool counting;
static uint64_t unaligned;
static unsigned ids;
static struct span *last;
static struct span **touched;
static size_t touched_count, touched_room;

static void fail(const char *what)
{
    fprintf(stderr, "spans: %s\n", what);
    exit(1);
}

static void on_span(unsigned cpu, void *data)
{
    struct span *span = data;
    (void)cpu;
    if (!counting)
        return;
    if (last && last->end == span->start)
        last->through++;
    last = span;
    span->runs++;
    if (span->touched)
        return;
    span->touched = true;
    if (touched_count == touched_room) {
        touched_room = touched_room ? 2 * touched_room : 256;
        touched = realloc(touched, touched_room * sizeof *touched);
        if (!touched)
            fail("no memory");
    }
    touched[touched_count++] = span;
}

static void on_open(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    counting = true;
    last = NULL;
    unaligned = 0;
}

static void on_close(unsigned cpu, void *data)
{
    uint64_t mark = (uintptr_t)data;
    (void)cpu;
    if (!counting)
        return;
    counting = false;
    if (last && last->end == mark)
        last->through++;
    for (size_t i = 0; i < touched_count; i++) {
        struct span *span = touched[i];
        if (!span->shown) {
            fprintf(out, "code %u %" PRIx64 " ", span->id, span->start);
            for (size_t at = 0; at < span->size; at++)
                fprintf(out, "%02x", span->bytes[at]);
            fputc('\n', out);
            span->shown = true;
        }
        fprintf(out, "span %u %" PRIu64 " %" PRIu64 "\n", span->id, span->runs, span->through);
        span->runs = span->through = 0;
        span->touched = false;
    }
    touched_count = 0;
    fprintf(out, "region %" PRIu64 "\n", unaligned);
    fflush(out);
}

static void on_access(unsigned cpu, uint32_t access, uint64_t address, void *data)
{
    unsigned shift = qemu_plugin_mem_size_shift(access);
    (void)cpu, (void)data;
    if (shift == 1)
        unaligned += address & 1;
    else if (shift == 2)
        unaligned += address & 1 ? 2 : address & 2 ? 1 : 0;
}

static void read_code(const struct insn *insn, uint8_t *bytes, size_t size)
{
#if API >= 3
    memset(bytes, 0, size);
    qemu_plugin_insn_data(insn, bytes, size);
#else
    memcpy(bytes, qemu_plugin_insn_data(insn), size);
#endif
}

static void on_translation(plugin_id id, struct tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    struct span *span = NULL;
    (void)id;
    for (size_t i = 0; i < count; i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint8_t code[4];
        read_code(insn, code, 2);
        unsigned half = code[0] | code[1] << 8;
        /* From the opcode: near the end of a page QEMU 7.2 takes some short instructions for long ones. */
        size_t size = half >> 11 >= 0x1d ? 4 : 2;
        if (half == OPEN || half == CLOSE) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, half == OPEN ? on_open : on_close, NO_REGISTERS,
                                                   (void *)(uintptr_t)address);
            span = NULL;
            continue;
        }
        if (size == 4)
            read_code(insn, code, 4);
        if (!span) {
            span = calloc(1, sizeof *span);
            if (!span || !(span->bytes = malloc(4 * count)))
                fail("no memory");
            span->id = ids++;
            span->start = address;
            if (i == 0)
                qemu_plugin_register_vcpu_tb_exec_cb(tb, on_span, NO_REGISTERS, span);
            else
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_span, NO_REGISTERS, span);
        }
        memcpy(span->bytes + span->size, code, size);
        span->size += size;
        span->end = address + size;
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, NO_REGISTERS, READ_AND_WRITE, NULL);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
