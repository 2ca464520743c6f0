/* What this disk and this machine allow: limit PORT FOLDER.
 *
 * A thread for each association receives, appends to one file that all share, flushes it
 * (fdatasync, one for all who wait), and answers. The file has its room beforehand, as zeros, so
 * that a flush changes nothing but blocks; for that it needs ROOM bytes. It looks at no data set, keeps no books, and
 * could not recover what it has written. It takes PDUs with one presentation data value each, and
 * command sets in one fragment, as all senders of the benchmark make them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { P_DATA = 4, RELEASE_RQ = 5, COMMAND = 1, LAST = 2, C_ECHO_RQ = 0x0030 };
#define ROOM (512ll << 20)
enum { MAX_PDU = 131072, BUFFER = MAX_PDU + 64, NO_DATA_SET = 0x0101 };

static int file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t flushed = PTHREAD_COND_INITIALIZER;
static off_t end;
static uint64_t begun, done; /* flushes */
static int is_flushing;

static uint16_t big16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static uint32_t big32(const uint8_t *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }
static uint16_t little16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static uint32_t little32(const uint8_t *at) { return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24; }
static void put_big16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static void put_big32(uint8_t *at, uint32_t value) { put_big16(at, value >> 16), put_big16(at + 2, value); }
static void put_little16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)value, at[1] = (uint8_t)(value >> 8); }
static void put_little32(uint8_t *at, uint32_t value) { put_little16(at, value), put_little16(at + 2, value >> 16); }

static void write_all(const uint8_t *from, size_t size, off_t at) {
    while (size) {
        ssize_t written = pwrite(file, from, size, at);
        if (written <= 0) { perror("limit"); exit(1); }
        from += written, size -= (size_t)written, at += written;
    }
}

static void append(const uint8_t *from, size_t size) {
    pthread_mutex_lock(&lock);
    off_t at = end;
    end += (off_t)size;
    pthread_mutex_unlock(&lock);
    write_all(from, size, at);
}

/* Everything that was appended before is on stable storage afterwards. */
static void flush(void) {
    pthread_mutex_lock(&lock);
    uint64_t wanted = begun + 1; /* one that is under way may have begun too early */
    while (done < wanted) {
        if (is_flushing) { pthread_cond_wait(&flushed, &lock); continue; }
        is_flushing = 1;
        uint64_t mine = ++begun;
        pthread_mutex_unlock(&lock);
        if (fdatasync(file)) { perror("limit"); exit(1); }
        pthread_mutex_lock(&lock);
        done = mine, is_flushing = 0;
        pthread_cond_broadcast(&flushed);
    }
    pthread_mutex_unlock(&lock);
}

/* Zeros where records will be, on stable storage. */
static int make_room(void) {
    static const uint8_t zeros[1 << 20];
    for (off_t at = 0; at < ROOM; at += (off_t)sizeof zeros) write_all(zeros, sizeof zeros, at);
    return fdatasync(file);
}

static int receive(int peer, uint8_t *into, size_t size) {
    const int on = 1;
    while (size) {
        ssize_t got = recv(peer, into, size, 0);
        if (got <= 0) return 0;
        setsockopt(peer, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        into += got, size -= (size_t)got;
    }
    return 1;
}

/* Accept whatever is proposed, each context with its first transfer syntax (PS3.8 section 9.3). */
static void associate(int peer, const uint8_t *request, size_t size) {
    static const char user[] = "1.2.826.0.1.3680043.10.1";
    uint8_t answer[65536];
    size_t to = 74;
    memset(answer, 0, 74);
    answer[0] = 2, answer[7] = 1;
    memcpy(answer + 10, request + 10, 64);
    for (size_t at = 74; at + 4 <= size; at += 4 + big16(request + at + 2)) {
        const uint8_t *item = request + at;
        if (item[0] == 0x10) { /* application context: as it is */
            memcpy(answer + to, item, 4u + big16(item + 2));
            to += 4u + big16(item + 2);
        } else if (item[0] == 0x20) {
            const uint8_t *sub = item + 8, *past = item + 4 + big16(item + 2);
            while (sub < past && sub[0] != 0x40) sub += 4 + big16(sub + 2);
            if (sub >= past) continue;
            uint32_t syntax = 4u + big16(sub + 2);
            memset(answer + to, 0, 8);
            answer[to] = 0x21, answer[to + 4] = item[4];
            put_big16(answer + to + 2, 4 + syntax);
            memcpy(answer + to + 8, sub, syntax);
            to += 8 + syntax;
        }
    }
    uint8_t *information = answer + to;
    memset(information, 0, 16);
    information[0] = 0x50, information[4] = 0x51, information[7] = 4;
    put_big16(information + 2, 8 + 4 + sizeof user - 1);
    put_big32(information + 8, MAX_PDU);
    information[12] = 0x52;
    put_big16(information + 14, sizeof user - 1);
    memcpy(information + 16, user, sizeof user - 1);
    to += 16 + sizeof user - 1;
    put_big32(answer + 2, (uint32_t)(to - 6));
    send(peer, answer, to, MSG_NOSIGNAL);
}

static uint8_t *put(uint8_t *at, uint16_t element, const void *value, uint32_t size) {
    put_little16(at, 0), put_little16(at + 2, element), put_little32(at + 4, size);
    memcpy(at + 8, value, size);
    return at + 8 + size;
}

static uint8_t *put_us(uint8_t *at, uint16_t element, uint32_t value) {
    uint8_t two[2];
    put_little16(two, value);
    return put(at, element, two, 2);
}

/* The success of the request whose command set this is (PS3.7 sections 9.3.1 and 9.3.5). */
static size_t response(uint8_t *into, uint8_t context, const uint8_t *command, size_t size, int *is_echo) {
    uint8_t *start = into + 24, *at = start, four[4];
    uint32_t field = 0, id = 0;
    const uint8_t *of[2] = {0};
    for (size_t p = 0; p + 8 <= size; p += 8 + little32(command + p + 4)) {
        uint16_t element = little16(command + p + 2);
        if (element == 0x0100) field = little16(command + p + 8);
        if (element == 0x0110) id = little16(command + p + 8);
        if (element == 0x0002) of[0] = command + p;
        if (element == 0x1000) of[1] = command + p;
    }
    *is_echo = field == C_ECHO_RQ;
    if (of[0]) at = put(at, 0x0002, of[0] + 8, little32(of[0] + 4));
    at = put_us(at, 0x0100, field | 0x8000);
    at = put_us(at, 0x0120, id);
    at = put_us(at, 0x0800, NO_DATA_SET);
    at = put_us(at, 0x0900, 0);
    if (of[1]) at = put(at, 0x1000, of[1] + 8, little32(of[1] + 4));
    put_little32(four, (uint32_t)(at - start));
    put(into + 12, 0x0000, four, 4);
    size_t length = (size_t)(at - into);
    into[0] = P_DATA, into[1] = 0, into[10] = context, into[11] = COMMAND | LAST;
    put_big32(into + 2, (uint32_t)(length - 6));
    put_big32(into + 6, (uint32_t)(length - 10));
    return length;
}

static void *serve(void *argument) {
    int peer = (int)(intptr_t)argument;
    uint8_t *pdu = malloc(BUFFER), answer[1024];
    size_t answer_size = 0;
    int is_echo = 0;
    while (receive(peer, pdu, 6)) {
        uint32_t size = big32(pdu + 2);
        if (size > BUFFER - 6 || !receive(peer, pdu + 6, size)) break;
        if (pdu[0] == 1) {
            associate(peer, pdu, 6 + size);
        } else if (pdu[0] == RELEASE_RQ) {
            pdu[0] = RELEASE_RQ + 1;
            send(peer, pdu, 10, MSG_NOSIGNAL);
        } else if (pdu[0] != P_DATA) {
            break;
        } else if (pdu[11] & COMMAND) {
            answer_size = response(answer, pdu[10], pdu + 12, size - 6, &is_echo);
            if (is_echo) send(peer, answer, answer_size, MSG_NOSIGNAL);
        } else {
            append(pdu + 12, size - 6);
            if (pdu[11] & LAST) {
                flush();
                send(peer, answer, answer_size, MSG_NOSIGNAL);
            }
        }
    }
    close(peer);
    free(pdu);
    return NULL;
}

int main(int count, char **arguments) {
    const int on = 1;
    char path[4096];
    if (count != 3) return 2;
    snprintf(path, sizeof path, "%s/limit.bin", arguments[2]);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (file < 0 || make_room() || bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1024)) {
        perror("limit");
        return 1;
    }
    for (;;) {
        pthread_t thread;
        int peer = accept(listener, NULL, NULL);
        if (peer < 0) continue;
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)peer)) { close(peer); continue; }
        pthread_detach(thread);
    }
}
