/* SPDX-License-Identifier: MIT */
/* A server that runs commands, a process for each connection, as sshd does: what it reads up to an empty word is the
 * command, words end with a zero byte. The connection is closed when the command has ended.
 *
 * login_server ADDRESS PORT */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_ssh(int connection)
{
	struct sockaddr_in client, server;
	socklen_t size = sizeof(client);
	char text[128], from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];

	getpeername(connection, (struct sockaddr *)&client, &size);
	size = sizeof(server);
	getsockname(connection, (struct sockaddr *)&server, &size);
	inet_ntop(AF_INET, &client.sin_addr, from, sizeof(from));
	inet_ntop(AF_INET, &server.sin_addr, to, sizeof(to));
	snprintf(text, sizeof(text), "%s %u %s %u", from, ntohs(client.sin_port), to, ntohs(server.sin_port));
	setenv("SSH_CONNECTION", text, 1);
}

static void serve(int connection)
{
	static char words[65536], *argv[512];
	size_t length = 0, begin = 0;
	int argc = 0, status;

	setsid();
	while (length < 2 || words[length - 1] != 0 || words[length - 2] != 0) {
		ssize_t got = read(connection, words + length, sizeof(words) - length);
		if (got <= 0)
			exit(1);
		length += (size_t)got;
	}
	for (size_t i = 0; i + 1 < length && argc < 511; i++)
		if (words[i] == 0) {
			argv[argc++] = words + begin;
			begin = i + 1;
		}
	set_ssh(connection);
	pid_t child = fork();
	if (child == 0) {
		setsid();
		close(connection);
		execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(child, &status, 0);
	exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	const int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	inet_pton(AF_INET, argv[1], &address.sin_addr);
	address.sin_port = htons((unsigned short)atoi(argv[2]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 16) != 0)
		return 1;
	for (;;) {
		int connection = accept(listener, NULL, NULL);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (connection < 0)
			continue;
		pid_t child = fork();
		if (child == 0) {
			close(listener);
			serve(connection);
		}
		close(connection);
	}
}
