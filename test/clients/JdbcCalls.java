// A store's application through JDBC: see test/t/044_calls.pl.
import java.sql.*;

public class JdbcCalls {
	static Connection db;

	static String call(String sql, Object... arguments) throws SQLException {
		try (PreparedStatement statement = db.prepareStatement(sql)) {
			for (int i = 0; i < arguments.length; i++)
				statement.setObject(i + 1, arguments[i]);
			try (ResultSet result = statement.executeQuery()) {
				result.next();
				return result.getString(1);
			}
		}
	}

	public static void main(String[] arguments) throws Exception {
		String person = arguments[1];

		db = DriverManager.getConnection(arguments[0], "shop_app", "");
		db.setAutoCommit(false);
		call("SELECT smsflow.subscribe(?, ?, evidence => ?::jsonb)", person, db.createArrayOf("text", new String[] {"transactional"}), "{\"ip\": \"192.0.2.7\"}");
		db.commit();
		call("SELECT smsflow.send(?, ?)", person, "rolled back");
		db.rollback();
		System.out.println(call("SELECT smsflow.send(?, ?, vars => ?::jsonb)", person, "Order {{order}}", "{\"order\": \"7\"}"));
		db.commit();
		try {
			call("SELECT smsflow.send(?, ?)", "12", "nobody");
		} catch (SQLException error) {
			System.out.println(error.getSQLState());
		}
	}
}
