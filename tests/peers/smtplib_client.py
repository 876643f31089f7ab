"""What Python's smtplib sends, case by case: smtplib_client.py PORT CASE"""

import smtplib
import sys
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

SENDER = "sender@client.example"


def eight_bit(server):
    """A body of 8-bit bytes, announced with BODY=8BITMIME."""
    message = b"Subject: eight bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9fe \xff\xfe\r\n"
    server.sendmail(SENDER, ["eightbit@localhost"], message, mail_options=["BODY=8BITMIME"])


def utf8_address(server):
    """Sender and recipient that only SMTPUTF8 can carry (RFC 6531)."""
    message = EmailMessage(policy=SMTPUTF8)
    message["From"] = "jürgen@client.example"
    message["To"] = "günter@localhost"
    message["Subject"] = "Grüße"
    message.set_content("äöü\n")
    server.send_message(message, "jürgen@client.example", ["günter@localhost"])


def utf8_without_the_parameter(server):
    """A non-ASCII recipient without SMTPUTF8 is refused."""
    server.ehlo()
    server.command_encoding = "utf-8"
    server.mail(SENDER)
    code, text = server.docmd("RCPT", "TO:<günter@localhost>")
    assert code == 553, (code, text)


def pipelined(server):
    """The whole envelope in one packet, as RFC 2920 allows."""
    server.ehlo()
    server.send(
        "MAIL FROM:<sender@client.example>\r\n"
        "RCPT TO:<one@localhost>\r\nRCPT TO:<two@localhost>\r\nDATA\r\n"
    )
    codes = [server.getreply()[0] for _ in range(4)]
    assert codes == [250, 250, 250, 354], codes
    # The end of one message, and the next one's envelope right behind it.
    server.send(
        b"Subject: pipelined\r\n\r\nfirst\r\n.\r\n"
        b"MAIL FROM:<sender@client.example>\r\nRCPT TO:<one@localhost>\r\nDATA\r\n"
    )
    codes = [server.getreply()[0] for _ in range(4)]
    assert codes == [250, 250, 250, 354], codes
    server.send(b"Subject: pipelined\r\n\r\nsecond\r\n.\r\nQUIT\r\n")
    codes = [server.getreply()[0] for _ in range(2)]
    assert codes == [250, 221], codes


def dsn_parameters(server):
    """RFC 3461: taken, and refused where they are malformed."""
    server.ehlo()
    for bad in ["RET=ALL", "ENVID=", "RET=FULL RET=FULL", "ENVID=a+0", "SIZE=-1", "NONSENSE=1"]:
        code, text = server.docmd("MAIL", f"FROM:<{SENDER}> {bad}")
        assert code in (501, 555), (bad, code, text)
    code, text = server.docmd("MAIL", f"FROM:<{SENDER}> RET=HDRS ENVID=QQ314159+2B")
    assert code == 250, (code, text)
    for bad in ["NOTIFY=NEVER,SUCCESS", "NOTIFY=SOMETIMES", "ORCPT=nonsense", "ORCPT=rfc822;a+0"]:
        code, text = server.docmd("RCPT", f"TO:<dsn@localhost> {bad}")
        assert code in (501, 555), (bad, code, text)
    code, text = server.docmd(
        "RCPT", "TO:<dsn@localhost> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Dsn@client.example"
    )
    assert code == 250, (code, text)
    code, text = server.data(b"Subject: dsn\r\n\r\nhello\r\n")
    assert code == 250, (code, text)


def large(server):
    """Nine megabytes, within the limit, far beyond what stays in the log."""
    line = b"x" * 74 + b"\r\n"
    message = b"Subject: large\r\n\r\n" + line * (9_000_000 // len(line))
    server.sendmail(SENDER, ["large@localhost"], message)


def over_size(server):
    """Beyond message_size_limit: refused at MAIL when announced, at the end when not."""
    server.ehlo()
    limit = int(server.esmtp_features["size"])
    assert limit == 10_240_000, limit
    code, text = server.docmd("MAIL", f"FROM:<{SENDER}> SIZE={limit + 1}")
    assert code == 552, (code, text)
    code, text = server.docmd("MAIL", f"FROM:<{SENDER}> SIZE={10 ** 23}")
    assert code in (501, 552), (code, text)
    assert server.mail(SENDER)[0] == 250
    assert server.rcpt("oversize@localhost")[0] == 250
    line = b"x" * 74 + b"\r\n"
    code, text = server.data(b"Subject: over size\r\n\r\n" + line * (limit // len(line) + 1))
    assert code == 552, (code, text)
    # The session goes on.
    server.sendmail(SENDER, ["oversize@localhost"], b"Subject: next\r\n\r\nsmall\r\n")


def thousand_recipients(server):
    """smtpd_recipient_limit's worth of recipients; one more is told to come back."""
    recipients = [f"user{number}@localhost" for number in range(1000)]
    refused = server.sendmail(
        SENDER, recipients + ["user1000@localhost"], b"Subject: thousand\r\n\r\nhello\r\n"
    )
    assert list(refused) == ["user1000@localhost"], list(refused)[:5]
    assert refused["user1000@localhost"][0] == 452, refused


def message_object(server):
    """What most programs do: a message with an attachment."""
    message = EmailMessage(policy=SMTP)
    message["From"] = SENDER
    message["To"] = "object@localhost"
    message["Subject"] = "attachment"
    message["Message-ID"] = "<attachment@client.example>"
    message["Date"] = "Fri, 13 Nov 2026 09:00:00 +0000"
    message.set_content("See below.\n")
    message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream")
    server.send_message(message)


with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), local_hostname="client.example") as server:
    globals()[sys.argv[2]](server)
