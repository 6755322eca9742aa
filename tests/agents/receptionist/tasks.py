"""Forty tasks for the receptionist: what callers say, what the model does, and what must stand in the book."""

from tests.agents.receptionist.stage import at, book, says, use
from tests.agents.receptionist.task import ANN, CANCEL, DONE, Task, ann, move, task

FRONT_DESK, ON_CALL, BILLING = "+12075550140", "+12075550141", "+12075550142"

BOOKING = [
    task(
        "a free time is found and booked",
        says("A check-up on Monday.", use("find_slots", location="Northgate", day=at("mon 09:00")[:10]), "Half past?"),
        says("Yes, Ann Lee.", ("Gladly. ", book("mon 09:30")), DONE),
        rows=[ann("mon 09:30")],
        learns="at 9:30 AM with Doctor Raman",
    ),
    task(
        "a dentist is asked for by name",
        says("Doctor Lindqvist, please.", book("wed 09:00", location="Harbor Street", dentist="Lindqvist"), DONE),
        rows=[ann("wed 09:00", "Harbor Street")],
        learns="with Doctor Lindqvist",
    ),
    task(
        "two visits are booked side by side",
        says("And a cleaning after it.", (book("mon 09:30"), book("mon 10:00", visit="cleaning")), DONE),
        rows=[ann("mon 09:30"), ann("mon 10:00", visit="cleaning")],
    ),
    task(
        "two people at once want one time",
        says("My brother, too.", (book("mon 09:30"), book("mon 09:30", phone="2075550151")), "One is."),
        rows=[ann("mon 09:30")],
        learns="is taken",
    ),
    task(
        "a caller without a number is asked for one",
        says("On Monday.", book("mon 09:30"), "What is your number?"),
        says("Two oh seven…", book("mon 09:30", phone="207 555 0151"), DONE),
        rows=[ann("mon 09:30")],
        learns="A phone number is missing",
        phone=None,
    ),
    task(
        "a visit for pain at the evening location",
        says("It hurts.", book("wed 18:30", location="Old Mill", visit="pain"), DONE),
        rows=[ann("wed 18:30", "Old Mill", "pain")],
    ),
]

REFUSED = [
    task(
        "a time that is taken is refused and the next one booked",
        says("Nine o'clock.", book("mon 09:00"), "Half past nine?"),
        says("Fine.", book("mon 09:30"), DONE),
        rows=[ann("mon 09:30")],
        learns="The next free times at Northgate: Monday",
    ),
    task("a past day", says("In 2020.", book("mon 09:30", start="2020-03-02T09:30"), "No."), learns="an hour's notice"),
    task("a closed day", says("Sunday.", book("sun 10:00"), "We are closed."), learns="Northgate is closed that day"),
    task(
        "a day that one location is closed and the other is not",
        says("Monday at the mill.", book("mon 11:00", location="Old Mill"), "Harbor Street?"),
        says("All right.", book("mon 11:00", location="Harbor Street"), DONE),
        rows=[ann("mon 11:00", "Harbor Street")],
        learns="Old Mill is closed that day",
    ),
    task("lunch", says("At one.", book("mon 13:00"), "We eat then."), learns="sees nobody at Northgate then"),
    task("too far ahead", says("In 2099.", book("mon 09:30", start="2099-03-02T09:30"), "No."), learns="60 days ahead"),
    task(
        "a dentist who is elsewhere that day",
        says("Doctor Moretti on Monday.", book("mon 09:30", dentist="Moretti"), "On Tuesday?"),
        says("Tuesday at nine.", book("tue 09:00", dentist="Moretti"), DONE),
        rows=[ann("tue 09:00")],
        learns="Doctor Moretti sees nobody",
    ),
]

REPAIRED = [
    task(
        "a location that is none of ours",
        says("Downtown.", book("mon 09:30", location="Downtown"), book("mon 09:30"), DONE),
        rows=[ann("mon 09:30")],
        learns="Harbor Street",
    ),
    task(
        "a day in words",
        says("Next Monday.", book("mon 09:30", start="next Monday, half past nine"), book("mon 09:30"), DONE),
        rows=[ann("mon 09:30")],
        learns="start",
    ),
    task(
        "no name",
        says("Book it.", book("mon 09:30", " "), "Your name?"),
        says("Ann Lee.", book("mon 09:30"), DONE),
        rows=[ann("mon 09:30")],
        learns="That is not a name",
    ),
    task(
        "a tool that there is not",
        says("Whiten my teeth.", use("book_whitening", when="now"), book("mon 09:30", visit="consultation"), DONE),
        rows=[ann("mon 09:30", visit="consultation")],
        learns="find_slots",
    ),
]

CHANGING = [
    task("a move", says("To Tuesday at nine.", move("tue 09:00"), DONE), given=[ANN], rows=[ann("tue 09:00")]),
    task(
        "a move to a time that is taken keeps the old one",
        says("To ten thirty.", move("mon 10:30"), "That is taken."),
        given=[ANN],
        rows=[ANN],
        learns="is taken",
    ),
    task(
        "others' appointments stay",
        says("Move hers.", move("tue 09:00", name="Eve"), "No."),
        given=[ANN],
        rows=[ANN],
        learns="no such appointment",
        phone="+12075550199",
    ),
    task(
        "a cancellation after a yes",
        says("Cancel my visit.", use("my_appointments"), "Monday, half past nine. Shall I cancel it?"),
        says("Yes, please.", CANCEL, DONE),
        given=[ANN],
        learns="Ann Lee, check-up, Northgate",
    ),
    task(
        "no cancellation before a yes",
        says("What about my visit?", CANCEL, "Shall I cancel it?"),
        says("No, keep it.", CANCEL, "Gladly."),
        given=[ANN],
        rows=[ANN],
        learns="Ask the caller to confirm it",
    ),
    task(
        "a visit that is cancelled and booked again",
        says("Book it.", book("mon 10:00"), "Booked."),
        says("Cancel it again.", CANCEL, "Shall I cancel it?"),
        says("Yes.", CANCEL, "Cancelled."),
        says("Oh, book it after all.", book("mon 10:00"), DONE),
        rows=[ann("mon 10:00")],
    ),
    task(
        "a caller who changes their mind after it was booked",
        says("Monday.", book("mon 09:30"), "Booked."),
        says("Tuesday is better.", move("tue 09:00"), DONE),
        rows=[ann("tue 09:00")],
    ),
]

WISH, WISHED = book("mon 09:30", location="Harbor Street"), ann("mon 09:30", "Harbor Street")
"""Two dentists are free then: the book would take it twice."""
TWICE = [
    task(
        "one wish that the platform asks for five times",
        says("Book it.", WISH, DONE, asked=5),
        rows=[WISHED],
    ),
    task(
        "one wish that the platform asks for five times, slowly",
        says("Book it.", WISH, DONE, asked=5, pause=0.1),
        rows=[WISHED],
    ),
    task(
        "one wish asked for again in the next turn",
        says("Book it.", WISH, DONE),
        says("Did you book it?", WISH, "I did."),
        rows=[WISHED],
    ),
    task(
        "a caller who speaks again while it is booked",
        says("Book it.", WISH, DONE, until="tool_call_invocation", pause=0.15),
        says("Hello?", "Yes, it is booked."),
        rows=[WISHED],
        learns="Booked: Ann Lee",
        busy_for=0.3,
    ),
    task(
        "a caller who asks again while it is booked",
        says("Book it.", WISH, DONE, until="tool_call_invocation", pause=0.15),
        says("Book it, please.", WISH, DONE),
        rows=[WISHED],
        learns="Booked: Ann Lee",
        busy_for=0.3,
    ),
    task(
        "a caller who cuts off that it is booked",
        says("Book it.", WISH, DONE, until="tool_call_result"),
        says("Hello?", WISH, DONE),
        rows=[WISHED],
    ),
    task(
        "a caller who goes on before it was meant",
        says("On Monday,", WISH, DONE, until="nothing"),
        says("no, on Tuesday at nine.", book("tue 09:00"), DONE),
        rows=[ann("tue 09:00")],
    ),
    task(
        "one wish in two processes",
        says("Book it.", WISH, DONE, then_dies=True),
        says("Is it booked?", WISH, "It is."),
        rows=[WISHED],
    ),
    task(
        "a visit that is cancelled, and booked again in another process",
        says("Book it.", WISH, DONE),
        says("Cancel it.", CANCEL, "Shall I cancel it?"),
        says("Yes.", CANCEL, "Cancelled.", then_dies=True),
        says("Book it after all.", WISH, DONE),
        rows=[WISHED],
    ),
    task(
        "a line that breaks while it is booked",
        says("Book it.", WISH, DONE, until="tool_call_invocation", pause=0.15, then_dies=True),
        says("Hello?", WISH, "It is."),
        rows=[WISHED],
        learns="Booked: Ann Lee",
        busy_for=0.3,
    ),
    task(
        "a line that breaks before it was meant",
        says("Book it.", WISH, DONE, until="tool_call_invocation", then_dies=True),
        says("Hello?", WISH, "It is."),
        rows=[WISHED],
    ),
    Task(
        "two callers at once want one time",
        (
            (says("Nine thirty.", book("mon 09:30", "Bob"), book("mon 10:00", "Bob"), DONE),),
            (says("Nine thirty.", book("mon 09:30", "Bob"), book("mon 10:00", "Bob"), DONE),),
        ),
        [("Bob", "check-up", "Northgate", "mon 09:30"), ("Bob", "check-up", "Northgate", "mon 10:00")],
        learns="is taken",
    ),
]

ACTIONS = [
    task(
        "an emergency is handed over in the first turn",
        says("My face is swollen!", use("transfer_call", to="front desk", message="At once.")),
        actions=[FRONT_DESK],
    ),
    task(
        "a colleague of an invented name",
        says("The boss.", use("transfer_call", to="boss", message=""), use("transfer_call", to="billing office")),
        actions=[BILLING],
        learns="front desk, dentist on call, billing office",
    ),
    task(
        "a booking, and a goodbye",
        says("Book it.", book("mon 09:30"), DONE),
        says("Thanks, bye.", use("end_call", message="Goodbye.")),
        rows=[ann("mon 09:30")],
        actions=["end_call"],
    ),
    task(
        "a goodbye that is none yet",
        says("Bye. No, wait.", use("end_call", message="Goodbye."), "Yes?"),
        says("Book it.", book("mon 09:30"), DONE),
        rows=[ann("mon 09:30")],
        learns="what the caller just said speaks against it",
    ),
    task(
        "a recorded menu",
        says("For bookings, press two.", use("press_digits", digits="2", message="")),
        says("Hello?", use("transfer_call", to="dentist on call", message="One moment.")),
        actions=["2", ON_CALL],
    ),
]

TASKS = [*BOOKING, *REFUSED, *REPAIRED, *CHANGING, *TWICE, *ACTIONS]
